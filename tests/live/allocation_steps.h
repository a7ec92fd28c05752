/* SPDX-License-Identifier: MIT
 * The steps that run while memory is short, and what goes before them. Included by
 * test_allocation.c alone. */
#ifndef REDLOCK_TESTS_LIVE_ALLOCATION_STEPS_H
#define REDLOCK_TESTS_LIVE_ALLOCATION_STEPS_H

#include "live/allocation_stage.h"
#ifdef REDLOCK_WITH_TLS
#include "support/certificates.h"
#endif

#define LONG_HELD .ttl_ms = 60000

/* ---- Opening and closing ----*/

static redlock_status opens(scene *the)
{
    return scene_open(the, server_uri(the->stage->server),
                      REDLOCK_CLIENT_OPTIONS(.name = "short", .key_prefix = "redlock:"));
}

static redlock_status opens_connected(scene *the)
{
    return scene_open(the, server_uri(the->stage->server),
                      REDLOCK_CLIENT_OPTIONS(.name = "short", .connect_now = true));
}

static redlock_status give_a_token(void *arg, bool was_refused, redlock_credentials *to,
                                   redlock_detail *why)
{
    (void)arg, (void)was_refused, (void)why;
    return redlock_credentials_set(to, "default", "any");
}

static redlock_status opens_with_a_token(scene *the)
{
    return scene_open(the, server_uri(the->stage->server),
                      REDLOCK_CLIENT_OPTIONS(.credentials = give_a_token, .connect_now = true));
}

static void has_a_tcp_server(scene *the)
{
    (void)the;
    if (own_server == NULL) own_server = server_start_tcp(NULL);
}

static redlock_status opens_by_name(scene *the)
{
    char uri[64];
    snprintf(uri, sizeof uri, "redis://localhost:%d", server_tcp_port(own_server));
    return scene_open(the, uri, REDLOCK_CLIENT_OPTIONS(.connect_now = true));
}

#ifdef REDLOCK_WITH_TLS
static authority *certifier; /* closed by main */

static void has_a_tls_server(scene *the)
{
    char arguments[1024];
    (void)the;
    if (own_server != NULL) return;
    certifier = authority_open();
    authority_issue(certifier, "server", "IP:127.0.0.1", CERTIFICATE_VALID);
    snprintf(
        arguments, sizeof arguments,
        "--port 0 --tls-port {port} --tls-auth-clients no --tls-cert-file %s --tls-key-file %s "
        "--tls-ca-cert-file %s",
        authority_path(certifier, "server.pem"), authority_path(certifier, "server.key"),
        authority_path(certifier, "ca.pem"));
    own_server = server_start_tcp(arguments);
}

static redlock_status opens_over_tls(scene *the)
{
    char uri[64];
    snprintf(uri, sizeof uri, "rediss://127.0.0.1:%d", server_tcp_port(own_server));
    return scene_open(the, uri,
                      REDLOCK_CLIENT_OPTIONS(.connect_now = true,
                                             .tls_ca_file = authority_path(certifier, "ca.pem")));
}
#endif

static redlock_status closes(scene *the)
{
    redlock_status status = redlock_close(the->loop.client);
    the->loop.client = NULL;
    the->is_last_resort = the->account.from_then_on;
    return status;
}

/* What is waited for to the end, and yet outlasts what goes before. */
static int64_t impatience_ms(void) { return patience_is_instrumented() ? 600 : 300; }

/* Without any memory it tries to give back for as long as it may. */
static void is_impatient(scene *the)
{
    if (the->account.from_then_on) the->timeout_ms = impatience_ms();
}

static void has_a_canceller(scene *the)
{
    has_client(the);
    EXPECT(redlock_canceller_open(&the->canceller), REDLOCK_OK);
}

static redlock_status opens_a_canceller(scene *the)
{
    redlock_status status = redlock_canceller_open(&the->canceller);
    redlock_cancel(the->canceller);
    redlock_canceller_reset(the->canceller);
    redlock_canceller_close(the->canceller);
    the->canceller = NULL;
    return status;
}

/* ---- Acquiring ----*/

static redlock_status acquires(scene *the)
{
    return redlock_acquire(the->loop.client, "r", REDLOCK_OPTIONS(LONG_HELD, .auto_renew = true),
                           &the->lock);
}

static redlock_status acquires_bytes(scene *the)
{
    return redlock_acquire_bytes(the->loop.client, "r", 1,
                                 REDLOCK_OPTIONS(LONG_HELD, .mode = REDLOCK_SHARED, .permits = 2),
                                 &the->lock);
}

static redlock_status waits_in_vain(scene *the)
{
    return redlock_acquire(the->loop.client, "busy", REDLOCK_OPTIONS(.wait_ms = 60), &the->lock);
}

/* Waits until somebody queues for the name, or nobody will any more; then acts. */
typedef struct onlooker {
    pthread_t thread;
    scene *the;
    const char *name;
    redlock_lock *held; /* it is released; NULL: the canceller is used */
    atomic_bool is_over;
} onlooker;

static void *look_on(void *arg)
{
    onlooker *self = arg;
    has_memory_of_its_own = true;
    while (!atomic_load(&self->is_over) && stage_waiters(self->the->stage, self->name) == 0)
        patience_pause();
    if (self->held != NULL) (void)redlock_release(self->held);
    else redlock_cancel(self->the->canceller);
    return NULL;
}

static redlock_status acquires_before(onlooker *self, const redlock_options *options)
{
    scene *the = self->the;
    long until = atomic_exchange(&the->account.until, 0);
    assert_int_equal(pthread_create(&self->thread, NULL, look_on, self), 0);
    atomic_store(&the->account.until, until);
    redlock_status status = redlock_acquire(the->loop.client, self->name, options, &the->lock);
    atomic_store(&self->is_over, true);
    pthread_join(self->thread, NULL);
    return status;
}

static void another_has_it(scene *the)
{
    has_client(the);
    EXPECT(redlock_acquire(the->stage->other, "r", REDLOCK_OPTIONS(LONG_HELD), &the->inner),
           REDLOCK_OK);
}

static redlock_status is_handed_over(scene *the)
{
    onlooker other = {.the = the, .name = "r", .held = the->inner};
    the->inner = NULL;
    return acquires_before(&other, REDLOCK_OPTIONS(.wait_ms = 5000));
}

static redlock_status is_cancelled(scene *the)
{
    onlooker other = {.the = the, .name = "busy"};
    return acquires_before(&other, REDLOCK_OPTIONS(.wait_ms = 5000, .canceller = the->canceller));
}

/* ---- Holding ----*/

static void holds_one(scene *the)
{
    has_client(the);
    EXPECT(acquires(the), REDLOCK_OK);
}

static void holds_one_impatiently(scene *the)
{
    is_impatient(the);
    holds_one(the);
}

static void holds_one_unconnected(scene *the)
{
    holds_one(the);
    cut_connections(the);
}

static void shares_one(scene *the)
{
    has_client(the);
    EXPECT(redlock_acquire(the->loop.client, "r",
                           REDLOCK_OPTIONS(LONG_HELD, .mode = REDLOCK_SHARED, .reentrant = true),
                           &the->lock),
           REDLOCK_OK);
    cut_connections(the);
}

static redlock_status enters_again(scene *the)
{
    return redlock_acquire(the->loop.client, "r", REDLOCK_OPTIONS(LONG_HELD, .reentrant = true),
                           &the->inner);
}

static redlock_status enters_again_for_longer(scene *the)
{
    return redlock_acquire(
        the->loop.client, "r",
        REDLOCK_OPTIONS(.ttl_ms = 600000, .reentrant = true, .mode = REDLOCK_SHARED), &the->inner);
}

static redlock_status releases(scene *the) { return redlock_release_and_clear(&the->lock); }

static redlock_status releases_plainly(scene *the)
{
    redlock_lock *held = the->lock;
    the->lock = NULL;
    return redlock_release(held);
}

/* It has no status to give; what failed is undone in the background. */
static redlock_status releases_itself(scene *the)
{
    redlock_auto_release(&the->lock);
    return the->lock == NULL ? REDLOCK_OK : REDLOCK_ERR_ARGUMENT;
}

static redlock_status runs_a_scope(scene *the)
{
    redlock_status status;
    int error = 0;
    bool has_run = false;
    REDLOCK_WITH (the->loop.client, "r", &status, &error, LONG_HELD) has_run = true;
    return has_run || status < 0 ? status : REDLOCK_ERR_ARGUMENT;
}

static redlock_status extends(scene *the) { return redlock_extend(the->lock, 90000); }
static redlock_status downgrades(scene *the) { return redlock_downgrade(the->lock); }
static redlock_status upgrades(scene *the) { return redlock_upgrade(the->lock); }

static bool has_renewed(void *arg)
{
    scene *the = arg;
    return stats_of(the->loop.client).renewed > 0 || !redlock_is_held(the->lock);
}

static void is_about_to_renew(scene *the)
{
    int64_t ttl_ms = the->account.from_then_on ? impatience_ms() : 1500;
    has_client(the);
    EXPECT(redlock_acquire(the->loop.client, "r",
                           REDLOCK_OPTIONS(.ttl_ms = ttl_ms, .auto_renew = true), &the->lock),
           REDLOCK_OK);
    cut_connections(the);
}

/* A renewal that had no memory is made again in time; without any memory from then on the lock is
 * lost. */
static redlock_status renews(scene *the)
{
    loop_until(&the->loop, has_renewed, the);
    if (redlock_is_held(the->lock)) return REDLOCK_OK;
    return the->account.from_then_on ? REDLOCK_ERR_MEMORY : REDLOCK_LOST;
}

/* ---- Asynchronously ----*/

static redlock_status acquires_later(scene *the)
{
    redlock_status status =
        outcome(the, deed_submit(the->what, "r", REDLOCK_OPTIONS(LONG_HELD, .auto_renew = true)));
    the->lock = the->what->lock;
    return status;
}

static redlock_status waits_later(scene *the)
{
    return outcome(the, deed_submit(the->what, "busy", REDLOCK_OPTIONS(.wait_ms = 60)));
}

static redlock_status is_cancelled_later(scene *the)
{
    redlock_status status = deed_submit(the->what, "busy", REDLOCK_OPTIONS(.wait_ms = 5000));
    redlock_cancel_async(the->loop.client, the->what->id);
    return outcome(the, status);
}

static redlock_status upgrades_later(scene *the)
{
    redlock_status status =
        outcome(the, deed_submit(the->what, "r", REDLOCK_OPTIONS(LONG_HELD, .reentrant = true)));
    the->inner = the->what->lock;
    return status;
}

static redlock_status extends_later(scene *the)
{
    return outcome(the, redlock_extend_async(the->lock, 90000, deed_done, the->what));
}

static redlock_status downgrades_later(scene *the)
{
    return outcome(the, redlock_downgrade_async(the->lock, deed_done, the->what));
}

static redlock_status converts_later(scene *the)
{
    return outcome(the, redlock_upgrade_async(the->lock, deed_done, the->what));
}

static redlock_status releases_later(scene *the)
{
    redlock_status status = redlock_release_async(the->lock, deed_done, the->what);
    if (status == REDLOCK_OK) the->lock = NULL;
    return outcome(the, status);
}

static void waits_meanwhile(scene *the)
{
    is_impatient(the);
    has_client(the);
    deed_acquire(the->what, "busy", REDLOCK_OPTIONS(.wait_ms = 60000));
    loop_until(&the->loop, has_waiters, (&(expected){the->stage, "busy", 1}));
}

static redlock_status closes_meanwhile(scene *the)
{
    redlock_status status = closes(the);
    bool has_ended = the->what->completions == 1 && the->what->status < 0;
    return has_ended ? status : REDLOCK_ERR_ARGUMENT;
}

/* ---- Many, and looking ----*/

static const redlock_name_bytes both[] = {{"r", 1}, {"q", 1}};

static redlock_status acquires_a_set(scene *the)
{
    return redlock_acquire_set(the->loop.client, both, 2, REDLOCK_OPTIONS(LONG_HELD), &the->set);
}

static void holds_a_set(scene *the)
{
    has_client(the);
    EXPECT(acquires_a_set(the), REDLOCK_OK);
    cut_connections(the);
}

static bool has_both_connections(void *arg)
{
    return stats_of(((scene *)arg)->loop.client).connections == 2;
}

/* Nothing is left to be done in the background. */
static void holds_a_set_at_rest(scene *the)
{
    has_client(the);
    EXPECT(redlock_acquire_set(the->loop.client, both, 2,
                               REDLOCK_OPTIONS(LONG_HELD, .auto_renew = true), &the->set),
           REDLOCK_OK);
    loop_until(&the->loop, has_both_connections, the);
}

static redlock_status releases_a_set(scene *the)
{
    redlock_set *held = the->set;
    the->set = NULL;
    return redlock_release_set(held);
}

static void set_taken(void *arg, redlock_status status, redlock_set *set)
{
    scene *the = arg;
    the->set = set;
    deed_note(the->what, status, NULL);
}

static redlock_status acquires_a_set_later(scene *the)
{
    return outcome(the,
                   redlock_acquire_set_async(the->loop.client, both, 2, REDLOCK_OPTIONS(LONG_HELD),
                                             set_taken, the, NULL));
}

static redlock_status releases_a_set_later(scene *the)
{
    redlock_set *held = the->set;
    redlock_status status = redlock_release_set_async(held, deed_done, the->what);
    if (status != REDLOCK_ERR_MEMORY) the->set = NULL;
    return outcome(the, status);
}

static redlock_status inspects(scene *the)
{
    redlock_inspection *seen = NULL;
    redlock_status status = redlock_inspect(the->loop.client, "crowded", 7, &seen, NULL);
    bool is_whole = seen != NULL && seen->party_count == 200;
    redlock_inspection_free(seen);
    return (status == REDLOCK_OK) == is_whole ? status : REDLOCK_ERR_ARGUMENT;
}

/* More than fits in the memory that a connection keeps for replies. */
static void many_share_another(scene *the)
{
    char who[64];
    long long until_ms = 20000000000000 + now_us() / 1000 + 9000000000000;
    has_client(the);
    server_number(the->stage->server, "ZADD redlock:{crowded} -5800000000000000 f1");
    for (int i = 0; i < 200; i++) {
        snprintf(who, sizeof who, "- id.%d host:1:a_name_of_some_length", i);
        redisReply *answer = server_command(the->stage->server, "ZADD redlock:{crowded} %lld %b",
                                            until_ms, who, strlen(who));
        freeReplyObject(answer);
    }
}

static redlock_status forces(scene *the)
{
    return redlock_force_release(the->loop.client, "q", 1, NULL, NULL);
}

static void has_looked(void *arg, redlock_status status, redlock_inspection *seen)
{
    scene *the = arg;
    bool is_whole = (status == REDLOCK_OK) == (seen != NULL && seen->party_count == 200);
    redlock_inspection_free(seen);
    deed_note(the->what, is_whole ? status : REDLOCK_ERR_ARGUMENT, NULL);
}

static redlock_status inspects_later(scene *the)
{
    return outcome(the, redlock_inspect_async(the->loop.client, "crowded", 7, has_looked, the));
}

static void has_forced(void *arg, redlock_status status, size_t removed)
{
    scene *the = arg;
    (void)removed;
    deed_note(the->what, status, NULL);
}

static redlock_status forces_later(scene *the)
{
    return outcome(the, redlock_force_release_async(the->loop.client, "q", 1, has_forced, the));
}

/* What reads, and what only marks, needs no memory. */
static redlock_status looks(scene *the)
{
    redlock_client *client = the->loop.client;
    redlock_lock *lock = redlock_set_lock(the->set, 0);
    redlock_stats stats;
    redlock_stats_read(client, &stats, sizeof stats);
    redlock_adopt(lock);
    redlock_cancel_async(client, 12345);
    bool is_as_told = redlock_is_held(lock) && redlock_remaining_ms(lock) > 0 &&
                      redlock_fence(lock) > 0 && redlock_lock_mode(lock) == REDLOCK_EXCLUSIVE &&
                      strcmp(redlock_name(lock, NULL), "r") == 0 &&
                      (redlock_fd(client) >= 0) == (the->loop.host != REDLOCK_HOST_KEEPER) &&
                      redlock_timeout_ms(client) >= -1 && stats.acquired == 2;
    is_as_told = is_as_told && redlock_version()[0] != '\0' &&
                 redlock_strerror(REDLOCK_OK)[0] != '\0' &&
                 redlock_status_name(REDLOCK_OK)[0] != '\0' &&
                 redlock_loss_text(redlock_why_lost(lock))[0] != '\0';
    return is_as_told ? REDLOCK_OK : REDLOCK_ERR_ARGUMENT;
}

static redlock_status processes(scene *the)
{
    redlock_status status = redlock_process(the->loop.client);
    return the->loop.host == REDLOCK_HOST_KEEPER && status == REDLOCK_ERR_ARGUMENT ? REDLOCK_OK
                                                                                   : status;
}

#endif
