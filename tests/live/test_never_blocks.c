/* SPDX-License-Identifier: MIT
 * A client without a thread never blocks the loop it lives in: no redlock_process takes more than 2
 * ms, whatever is in flight and whatever the server does. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "live/async_stage.h"

#ifdef REDLOCK_WITH_TLS
#include "support/certificates.h"
#endif

enum { MOST_US = 2000, MOST_INSTRUMENTED_US = 200000, SPAN_MS = 200 };

/* What a processor does in half a millisecond if it does nothing else: when it is shared, or slow,
 * this takes longer, as everything does. A call that blocks, or that does whatever there is to do,
 * takes longer than four of these. */
enum { YARDS = 4, YARD_ROUNDS = 5000, YARD_EVERY_US = 40000 };

static int64_t yard_us(void)
{
    static volatile size_t sink;
    char line[64];
    int64_t began_us = busy_us();
    for (int i = 0; i < YARD_ROUNDS; i++)
        sink += (size_t)snprintf(line, sizeof line, "%d:%s:%d", i, "redlock", ~i);
    return busy_us() - began_us;
}

/* Opens, submits, runs the loop for a while, and closes; leaves the longest redlock_process, and
 * the longest yard. */
typedef void ordeal(async_stage *the, int64_t *worst_us, int64_t *longest_us);

/* What the library does, it does each time; what takes the processor away from a machine that is a
 * guest of another one looks like work, and comes once. So each ordeal is suffered three times, and
 * what counts is the one whose longest call was the shortest. */
enum { TIMES = 3 };

static void stays_brief(async_stage *the, const char *what, ordeal *suffer)
{
    int64_t most_us = patience_is_instrumented() ? MOST_INSTRUMENTED_US : MOST_US,
            briefest_us = INT64_MAX, longest_us = 0;
    for (int i = 0; i < TIMES; i++) {
        int64_t worst_us = 0;
        suffer(the, &worst_us, &longest_us);
        if (worst_us < briefest_us) briefest_us = worst_us;
    }
    print_message("%s: the longest call took %lld us, the longest yard %lld us\n", what,
                  (long long)briefest_us, (long long)longest_us);
    if (most_us < YARDS * longest_us) most_us = YARDS * longest_us;
    assert_in_range(briefest_us, 0, most_us);
}

static size_t flight_size(void) { return patience_is_instrumented() ? 1000 : 10000; }

static void fly_on(async_stage *the, loop *on, deeds *flight, void (*trouble)(async_stage *the),
                   int64_t *longest_us)
{
    int64_t next_us = now_us();
    for (int64_t until_us = next_us + SPAN_MS * 3 * 1000;
         now_us() < until_us && !deeds_are_done(flight);) {
        if (trouble != NULL) loop_for(on, 20);
        if (trouble != NULL) trouble(the);
        trouble = NULL;
        loop_turn(on, 5);
        if (now_us() < next_us) continue;
        int64_t here_us = yard_us();
        if (here_us > *longest_us) *longest_us = here_us;
        next_us = now_us() + YARD_EVERY_US;
    }
}

/* From the open to the end of all. */
static void fly(async_stage *the, const char *uri, const redlock_client_options *options,
                size_t size, void (*trouble)(async_stage *the), int64_t *worst_us,
                int64_t *longest_us)
{
    char name[32];
    loop *on = async_open(the, uri, options);
    on->worst_us = 0;
    deeds flight = deeds_new(on, size);
    for (size_t i = 0; i < size; i++) {
        snprintf(name, sizeof name, "r%zu", i / 2); /* every second one waits */
        deed_acquire(&flight.first[i], name,
                     REDLOCK_OPTIONS(.wait_ms = SPAN_MS, .ttl_ms = LONG_MS));
    }
    fly_on(the, on, &flight, trouble, longest_us);
    if (on->worst_us > *worst_us) *worst_us = on->worst_us;
    async_close(the);
    for (size_t i = 0; i < size; i++) redlock_release(flight.first[i].lock);
}

static void freeze(async_stage *the) { server_freeze(the->stage->server); }
static void restart(async_stage *the) { server_restart(the->stage->server); }

#define BRIEF_OPTIONS REDLOCK_CLIENT_OPTIONS(.timeout_ms = 200, .connect_timeout_ms = 200)

static void fly_by_a_healthy_server(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    fly(the, server_uri(the->stage->server), BRIEF_OPTIONS, flight_size(), NULL, worst_us,
        longest_us);
}

static void fly_by_a_server_that_freezes(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    fly(the, server_uri(the->stage->server), BRIEF_OPTIONS, flight_size(), freeze, worst_us,
        longest_us);
    server_thaw(the->stage->server);
}

static void fly_by_a_server_that_restarts(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    fly(the, server_uri(the->stage->server), BRIEF_OPTIONS, flight_size(), restart, worst_us,
        longest_us);
}

static void a_healthy_server_never_blocks(void **state)
{
    stays_brief(*state, "10,000 in flight", fly_by_a_healthy_server);
}

static void a_frozen_server_never_blocks(void **state)
{
    stays_brief(*state, "10,000 in flight, the server freezes", fly_by_a_server_that_freezes);
}

static void a_restarted_server_never_blocks(void **state)
{
    stays_brief(*state, "10,000 in flight, the server restarts", fly_by_a_server_that_restarts);
}

/* Listens and never accepts: the first connections succeed and are never answered, the others never
 * succeed. */
static int mute_listener(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void fly_by_a_mute_listener(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    int port, fd = mute_listener(&port);
    char uri[96];
    snprintf(uri, sizeof uri, "redis://:secret@127.0.0.1:%d", port);
    fly(the, uri, BRIEF_OPTIONS, 100, NULL, worst_us, longest_us);
    fly(the, uri, BRIEF_OPTIONS, 100, NULL, worst_us, longest_us);
    close(fd);
}

static void a_mute_listener_never_blocks(void **state)
{
    stays_brief(*state, "a listener that never answers", fly_by_a_mute_listener);
}

static void fly_by_a_name(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    fly(the, "redis://nowhere.invalid", BRIEF_OPTIONS, 100, NULL, worst_us, longest_us);
}

static void a_look_up_never_blocks(void **state)
{
    stays_brief(*state, "a name to look up", fly_by_a_name);
}

#ifdef REDLOCK_WITH_TLS
static authority *trusted;
static server *secure;

#define SECURE_OPTIONS                                                                             \
    REDLOCK_CLIENT_OPTIONS(.tls_ca_file = authority_path(trusted, "ca.pem"),                       \
                           .tls_server_name = "redis.test", .connect_timeout_ms = 20000,           \
                           .timeout_ms = 20000)

/* The second handshake of a process: what is done once in its life is no part of a call. */
static void fly_by_tls(async_stage *the, int64_t *worst_us, int64_t *longest_us)
{
    char uri[96];
    snprintf(uri, sizeof uri, "rediss://127.0.0.1:%d", server_tcp_port(secure));
    expect_free(stage_open(the->stage, uri, SECURE_OPTIONS), "first");
    fly(the, uri, SECURE_OPTIONS, flight_size() / 10, NULL, worst_us, longest_us);
}

static void a_tls_server_never_blocks(void **state)
{
    char arguments[1024], *at = arguments;
    trusted = authority_open();
    authority_issue(trusted, "server", "DNS:redis.test,IP:127.0.0.1", CERTIFICATE_VALID);
    at += snprintf(at, 512, "--port 0 --tls-port {port} --tls-auth-clients no --tls-cert-file %s",
                   authority_path(trusted, "server.pem"));
    at += snprintf(at, 256, " --tls-key-file %s", authority_path(trusted, "server.key"));
    snprintf(at, 256, " --tls-ca-cert-file %s", authority_path(trusted, "ca.pem"));
    secure = server_start_tcp(arguments);
    stays_brief(*state, "TLS", fly_by_tls);
    server_stop(secure);
    authority_close(trusted);
}
#endif

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_HOST(a_healthy_server_never_blocks, by_hand),
        ON_HOST(a_frozen_server_never_blocks, by_hand),
        ON_HOST(a_restarted_server_never_blocks, by_hand),
        ON_HOST(a_mute_listener_never_blocks, by_hand),
        ON_HOST(a_look_up_never_blocks, by_hand),
#ifdef REDLOCK_WITH_TLS
        ON_HOST(a_tls_server_never_blocks, by_hand),
#endif
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live never blocks", tests, NULL, NULL);
}
