/* SPDX-License-Identifier: MIT
 * A Redis Cluster: locks of all slots, slots that move, nodes that are away, and failovers. Only
 * the URI differs from what a program says to a single server. */
#include "live/stage.h"
#include "support/shards.h"
#include "wire/key.h"

enum { PRIMARIES = 3, MEMBERS = 8, KEPT_MS = 6000 };

/* ---- The stage --------------------------------------------------------------------------------*/

typedef struct town town;

/* Threads that all want one lock, each with a client of its own. */
typedef struct crew {
    town *the;
    bool is_at_work;
    _Atomic bool is_over;
    _Atomic int inside, doubled, failed, losses;
    _Atomic int64_t sections;
    pthread_t members[MEMBERS];
} crew;

struct town {
    shards *servers;
    redlock_client *ours, *theirs;
    taker waits;
    crew crew;
    journal journal;
};

static redlock_client *open_client(town *the)
{
    redlock_client *made;
    EXPECT(redlock_open(shards_uri(the->servers),
                        REDLOCK_CLIENT_OPTIONS(.timeout_ms = 400, LOGGED(the)), &made),
           REDLOCK_OK);
    return made;
}

static int begin(void **state, int replicas_each)
{
    static town the;
    memset(&the, 0, sizeof the);
    *state = &the;
    pthread_mutex_init(&the.journal.mutex, NULL);
    (void)stall_begin();
    the.servers = shards_start(PRIMARIES, replicas_each,
                               "--cluster-node-timeout 500 --cluster-require-full-coverage no");
    the.ours = open_client(&the);
    the.theirs = open_client(&the);
    the.crew.the = &the;
    the.waits.is_joined = true;
    return 0;
}

static int begin_alone(void **state) { return begin(state, 0); }
static int begin_replicated(void **state) { return begin(state, 1); }

static void crew_join(crew *self)
{
    atomic_store(&self->is_over, true);
    for (int i = 0; i < MEMBERS && self->is_at_work; i++) pthread_join(self->members[i], NULL);
    self->is_at_work = false;
}

/* After a failed test, too. */
static int end(void **state)
{
    town *the = *state;
    crew_join(&the->crew);
    redlock_close(the->ours);
    redlock_close(the->theirs);
    taker_join(&the->waits);
    shards_stop(the->servers);
    pthread_mutex_destroy(&the->journal.mutex);
    return 0;
}

static unsigned slot_of(const char *lock_name)
{
    char key[64];
    return key_slot(key, key_write(key, sizeof key, "redlock:", lock_name, strlen(lock_name)));
}

static server *owner_of(const town *the, const char *name)
{
    int index = shards_owner(the->servers, slot_of(name));
    assert_true(index >= 0);
    return shards_server(the->servers, index);
}

static long long waiters_of(const town *the, const char *name)
{
    return server_number(owner_of(the, name), "ZCOUNT redlock:{%s} 100000000000000 +inf", name);
}

typedef struct line {
    const town *the;
    const char *name;
    long long count;
} line;

static bool has_waiters_there(void *arg)
{
    const line *self = arg;
    return waiters_of(self->the, self->name) == self->count;
}

static const char *other_name(const town *the, const char *name)
{
    static char found[16];
    unsigned slot = slot_of(name);
    int owner = shards_owner(the->servers, slot);
    for (int i = 0; i < 1000; i++) {
        snprintf(found, sizeof found, "n%d", i);
        if (shards_owner(the->servers, slot_of(found)) != owner) return found;
    }
    fail_msg("all names are at one node");
    return NULL;
}

/* ---- Somebody who waits -----------------------------------------------------------------------*/

static taker *wait_for(town *the, const char *name, const redlock_options *options)
{
    taker *self = &the->waits;
    *self = (taker){.client = the->theirs, .options = *options};
    snprintf(self->name, sizeof self->name, "%s", name);
    assert_int_equal(pthread_create(&self->thread, NULL, taker_run, self), 0);
    eventually(has_waiters_there, (&(line){the, name, 1}));
    return self;
}

/* ---- A crew on one lock -----------------------------------------------------------------------*/

static void hears_loss(void *arg, redlock_lock *lock)
{
    (void)lock;
    atomic_fetch_add(&((crew *)arg)->losses, 1);
}

static void work_once(crew *self, redlock_client *client)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(
        client, "k", REDLOCK_OPTIONS(.ttl_ms = KEPT_MS, .wait_ms = REDLOCK_WAIT_FOREVER), &lock);
    if (status != REDLOCK_OK) {
        atomic_fetch_add(&self->failed, 1);
        return;
    }
    if (atomic_fetch_add(&self->inside, 1) != 0) atomic_fetch_add(&self->doubled, 1);
    atomic_fetch_add(&self->sections, 1);
    usleep(500);
    atomic_fetch_sub(&self->inside, 1);
    (void)redlock_release(lock);
}

static void *work(void *arg)
{
    crew *self = arg;
    redlock_client *client = NULL;
    if (redlock_open(shards_uri(self->the->servers),
                     REDLOCK_CLIENT_OPTIONS(.timeout_ms = 400, LOGGED(self->the)),
                     &client) != REDLOCK_OK)
        atomic_fetch_add(&self->failed, 1);
    while (client != NULL && !atomic_load(&self->is_over)) work_once(self, client);
    redlock_close(client);
    return NULL;
}

static crew *crew_start(town *the)
{
    crew *self = &the->crew;
    self->is_at_work = true;
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(pthread_create(&self->members[i], NULL, work, self), 0);
    return self;
}

static void crew_end(crew *self)
{
    crew_join(self);
    assert_int_equal(atomic_load(&self->failed), 0);
    assert_int_equal(atomic_load(&self->losses), 0);
}

typedef struct mark {
    crew *of;
    int64_t sections;
} mark;

static bool is_reached(void *arg)
{
    const mark *self = arg;
    return atomic_load(&self->of->sections) >= self->sections;
}

/* Each of them, or so, once more. */
static void await_work(crew *of)
{
    mark next = {of, atomic_load(&of->sections) + MEMBERS};
    eventually(is_reached, &next);
}

static redlock_lock *keep(town *the, const char *name)
{
    redlock_lock *lock;
    EXPECT(redlock_acquire(the->ours, name,
                           REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(KEPT_MS),
                                           .auto_renew = true, .on_lost = hears_loss,
                                           .on_lost_arg = &the->crew),
                           &lock),
           REDLOCK_OK);
    return lock;
}

/* ---- Quiet days -------------------------------------------------------------------------------*/

static void locks_of_all_nodes_are_taken_and_told_apart(void **state)
{
    enum { NAMES = 60 };
    town *the = *state;
    redlock_lock *held[NAMES];
    char name[16];
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "n%d", i);
        held[i] = take(the->ours, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
        EXPECT(redlock_acquire(the->theirs, name, NULL, &(redlock_lock *){NULL}), REDLOCK_BUSY);
    }
    for (int i = 0; i < PRIMARIES; i++)
        assert_in_range(server_number(shards_server(the->servers, i), "DBSIZE"), 1, NAMES - 2);
    for (int i = 0; i < NAMES; i++) EXPECT(redlock_release(held[i]), REDLOCK_OK);
}

static bool costs_two_commands(void *client)
{
    uint64_t before = stats_of(client).commands;
    EXPECT(redlock_release(take(client, "n0", NULL)), REDLOCK_OK);
    return stats_of(client).commands - before == 2;
}

/* The table comes along with the first questions, and once more for the redirects that they met:
 * then nobody is sent to a wrong node any more, and no table is asked for. */
static void the_map_is_learned_and_no_redirect_is_met_twice(void **state)
{
    enum { NAMES = 40, TABLES_MOST = 5 };
    town *the = *state;
    long long tables = 0;
    for (int i = 0; i < 2 * NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i % NAMES);
        EXPECT(redlock_release(take(the->ours, name, NULL)), REDLOCK_OK);
    }
    eventually(costs_two_commands, the->ours);
    for (int i = 0; i < PRIMARIES; i++)
        tables += server_calls(shards_server(the->servers, i), "cluster|slots");
    assert_in_range(tables, 1, TABLES_MOST);
}

static void a_lock_is_handed_over(void **state)
{
    town *the = *state;
    redlock_lock *held = take(the->ours, "k", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    taker *waits = wait_for(the, "k", FOR_EVER);
    stall began = stall_begin();
    EXPECT(redlock_release(held), REDLOCK_OK);
    expect_taker(waits, REDLOCK_OK);
    TOOK(&began, waits->took_us - began.began_us, 0, SOON_MS * 1000);
    EXPECT(redlock_release(waits->lock), REDLOCK_OK);
    assert_int_equal(stats_of(the->theirs).handed_over, 1);
}

static void a_set_has_names_of_any_slots(void **state)
{
    static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};
    town *the = *state;
    redlock_set *set;
    EXPECT(redlock_acquire_set(the->ours, names, 4, NULL, &set), REDLOCK_OK);
    for (size_t i = 0; i < 4; i++) assert_true(redlock_is_held(redlock_set_lock(set, i)));
    EXPECT(redlock_acquire(the->theirs, "c", NULL, &(redlock_lock *){NULL}), REDLOCK_BUSY);
    EXPECT(redlock_release_set(set), REDLOCK_OK);
    expect_free(the->theirs, "c");
}

static void one_seed_that_answers_is_enough(void **state)
{
    town *the = *state;
    char uri[160];
    redlock_client *client;
    snprintf(uri, sizeof uri, "redis+cluster://127.0.0.1:1,%s",
             strrchr(shards_uri(the->servers), ',') + 1);
    EXPECT(redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.connect_now = true), &client), REDLOCK_OK);
    expect_free(client, "k");
    EXPECT(redlock_close(client), REDLOCK_OK);
    EXPECT(redlock_open(uri, NULL, &client), REDLOCK_OK);
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        expect_free(client, name);
    }
    EXPECT(redlock_close(client), REDLOCK_OK);
}

/* ---- Slots that move --------------------------------------------------------------------------*/

static int next_owner(const town *the, unsigned slot)
{
    return (shards_owner(the->servers, slot) + 1) % PRIMARIES;
}

static void while_its_slot_moves_a_lock_is_found_where_it_is(void **state)
{
    town *the = *state;
    unsigned slot = slot_of("k");
    redlock_lock *held = take(the->ours, "k", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    shards_begin_move(the->servers, slot, next_owner(the, slot));
    EXPECT(redlock_extend(held, LONG_MS), REDLOCK_OK); /* at the source */
    shards_move_keys(the->servers, slot);
    for (int i = 0; i < 3; i++) { /* at the target, which is asked as for an exception each time */
        EXPECT(redlock_extend(held, LONG_MS), REDLOCK_OK);
        EXPECT(redlock_acquire(the->theirs, "k", NULL, &(redlock_lock *){NULL}), REDLOCK_BUSY);
    }
    expect_free(the->theirs, "{k}new"); /* a key that is new */
    shards_end_move(the->servers, slot);
    EXPECT(redlock_acquire(the->theirs, "k", NULL, &(redlock_lock *){NULL}), REDLOCK_BUSY);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void whoever_waits_goes_where_the_slot_goes(void **state)
{
    town *the = *state;
    unsigned slot = slot_of("k");
    redlock_lock *held = take(the->ours, "k", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    taker *waits = wait_for(the, "k", FOR_EVER);
    for (int i = 0; i < PRIMARIES; i++) {
        shards_move(the->servers, slot, next_owner(the, slot));
        eventually(has_waiters_there, (&(line){the, "k", 1}));
    }
    stall began = stall_begin();
    EXPECT(redlock_release(held), REDLOCK_OK);
    expect_taker(waits, REDLOCK_OK);
    TOOK(&began, waits->took_us - began.began_us, 0, SOON_MS * 1000);
    EXPECT(redlock_release(waits->lock), REDLOCK_OK);
}

static void moves_lose_no_lock_and_double_none(void **state)
{
    enum { MOVES = 12 };
    town *the = *state;
    unsigned slot = slot_of("k");
    crew *all = crew_start(the);
    redlock_lock *kept = keep(the, "{k}kept");
    for (int i = 0; i < MOVES; i++) {
        await_work(all);
        shards_move(the->servers, slot, next_owner(the, slot));
    }
    await_work(all);
    crew_end(all);
    assert_int_equal(atomic_load(&all->doubled), 0);
    assert_true(redlock_is_held(kept));
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

/* ---- Nodes that are away ----------------------------------------------------------------------*/

static void one_frozen_node_delays_no_lock_of_another(void **state)
{
    town *the = *state;
    const char *beside = other_name(the, "k");
    EXPECT(redlock_release(take(the->ours, "k", NULL)), REDLOCK_OK);
    EXPECT(redlock_release(take(the->ours, beside, NULL)), REDLOCK_OK);
    redlock_lock *kept = keep(the, "k"), *other = keep(the, beside);
    server *frozen = owner_of(the, "k");
    server_freeze(frozen);
    for (int i = 0; i < 20; i++) {
        char name[32];
        stall began = stall_begin();
        snprintf(name, sizeof name, "{%s}%d", beside, i);
        EXPECT(redlock_release(take(the->ours, name, NULL)), REDLOCK_OK);
        TOOK(&began, now_us() - began.began_us, 0, 200000);
    }
    renewals made = {the->ours, stats_of(the->ours).renewed + 2};
    eventually(renewals_were_made, &made);
    assert_true(redlock_is_held(other));
    server_thaw(frozen);
    EXPECT(redlock_release(other), REDLOCK_OK);
    (void)redlock_release(kept); /* in time or not */
}

/* ---- Failovers --------------------------------------------------------------------------------*/

/* What the primary has told it, up to then: replication is behind by as little as it can. */
typedef struct copy {
    server *primary, *replica;
    long long offset;
} copy;

static bool is_complete(void *arg)
{
    const copy *self = arg;
    return server_info(self->replica, "replication", "slave_repl_offset:") >= self->offset;
}

static void await_copy(const town *the, const char *lock_name)
{
    int owner = shards_owner(the->servers, slot_of(lock_name));
    copy made = {.primary = shards_server(the->servers, owner),
                 .replica = shards_server(the->servers, owner + PRIMARIES)};
    made.offset = server_info(made.primary, "replication", "master_repl_offset:");
    assert_true(made.offset > 0);
    eventually(is_complete, &made);
}

static bool is_owned_by_another(void *arg)
{
    const line *self = arg;
    int owner = shards_owner(self->the->servers, slot_of(self->name));
    return owner >= 0 && owner != self->count;
}

/* Its owner goes by `away`, and a replica takes its place. */
static int replace_owner(town *the, const char *name, void (*away)(server *self))
{
    int owner = shards_owner(the->servers, slot_of(name));
    away(shards_server(the->servers, owner));
    eventually(is_owned_by_another, (&(line){the, name, owner}));
    return owner;
}

/* What was granted a moment before the end, and told no replica, may be granted again: of the crew,
 * too, for as long as one of its sections lasts. The lock that is kept was told. */
static void outlasts_a_failover(town *the, void (*away)(server *self), bool comes_back)
{
    crew *all = crew_start(the);
    redlock_lock *kept = keep(the, "{k}kept");
    await_work(all);
    await_copy(the, "{k}kept");
    int former = replace_owner(the, "{k}kept", away);
    await_work(all);
    if (comes_back) server_thaw(shards_server(the->servers, former));
    await_work(all);
    crew_end(all);
    assert_true(redlock_is_held(kept));
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

static void a_killed_primary_takes_no_lock_with_it(void **state)
{
    outlasts_a_failover(*state, server_kill, false);
}

static void nor_does_a_frozen_one_that_wakes_later(void **state)
{
    outlasts_a_failover(*state, server_freeze, true);
}

static void a_graceful_failover_is_followed(void **state)
{
    town *the = *state;
    crew *all = crew_start(the);
    redlock_lock *kept = keep(the, "{k}kept");
    await_work(all);
    shards_fail_over(the->servers, shards_owner(the->servers, slot_of("k")) + PRIMARIES);
    await_work(all);
    crew_end(all);
    assert_true(redlock_is_held(kept));
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

static bool has_heard_of_it(void *arg) { return atomic_load(&((crew *)arg)->losses) > 0; }

/* Its replica heard nothing any more: what that never knew is told lost when the news is there, and
 * long before its lease would end. */
static void what_a_failover_forgot_is_told_lost(void **state)
{
    town *the = *state;
    redlock_lock *known = keep(the, "{k}known"), *unknown;
    int owner = shards_owner(the->servers, slot_of("k"));
    server *primary = shards_server(the->servers, owner);
    server *replica = shards_server(the->servers, owner + PRIMARIES);
    await_copy(the, "k");
    server_freeze(replica);
    assert_int_equal(server_number(primary, "CLIENT KILL TYPE replica"), 1);
    EXPECT(redlock_acquire(the->ours, "k",
                           REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .auto_renew = true,
                                           .on_lost = hears_loss, .on_lost_arg = &the->crew),
                           &unknown),
           REDLOCK_OK);
    server_kill(primary);
    server_thaw(replica);
    eventually(has_heard_of_it, &the->crew);
    assert_int_equal(redlock_why_lost(unknown), REDLOCK_LOSS_TAKEN);
    assert_true(redlock_is_held(known));
    EXPECT(redlock_release(unknown), REDLOCK_LOST);
    EXPECT(redlock_release(known), REDLOCK_OK);
}

#define IN_TOWN(name) cmocka_unit_test_setup_teardown(name, begin_alone, end)
#define WITH_REPLICAS(name) cmocka_unit_test_setup_teardown(name, begin_replicated, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TOWN(locks_of_all_nodes_are_taken_and_told_apart),
        IN_TOWN(the_map_is_learned_and_no_redirect_is_met_twice),
        IN_TOWN(a_lock_is_handed_over),
        IN_TOWN(a_set_has_names_of_any_slots),
        IN_TOWN(one_seed_that_answers_is_enough),
        IN_TOWN(while_its_slot_moves_a_lock_is_found_where_it_is),
        IN_TOWN(whoever_waits_goes_where_the_slot_goes),
        IN_TOWN(moves_lose_no_lock_and_double_none),
        IN_TOWN(one_frozen_node_delays_no_lock_of_another),
        WITH_REPLICAS(a_graceful_failover_is_followed),
        WITH_REPLICAS(a_killed_primary_takes_no_lock_with_it),
        WITH_REPLICAS(nor_does_a_frozen_one_that_wakes_later),
        WITH_REPLICAS(what_a_failover_forgot_is_told_lost),
    };
    return cmocka_run_group_tests_name("live cluster", tests, NULL, NULL);
}
