/* SPDX-License-Identifier: MIT
 * One address that is two servers, and one server that is another for a while: commands and
 * messages lead to different places, or to a primary that was demoted. There are never two that
 * believe to hold the lock, and no free lock is left lying. */
#include "live/stage.h"
#include "support/splitter.h"

enum {
    PARTIES = 3,
    ROUNDS = 5,
    TTL_MS = 3000,
    SHORT_MS = 100,
    LONG_SECTION_MS = 1500,
    FREE_MOST_MS = 2000,
    CONNECTIONS_MOST = 60
};

static const char *const name = "r";

#define PATIENT_FOR(claim) REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = (claim))

/* ---- The stage: two servers, and clients with a log of their own ------------------------------*/

/* How the two know each other. */
typedef enum kinship { STRANGERS, REPLICA, CLUSTER } kinship;

typedef struct party {
    redlock_client *client;
    _Atomic int warnings; /* that nobody hears its inbox */
} party;

typedef struct split {
    stage stage; /* `server` is the one that has the lock */
    server *second;
    splitter *between;
    party parties[PARTIES];
} split;

static void note_warning(void *arg, redlock_level level, const char *line)
{
    party *self = arg;
    if (level == REDLOCK_LOG_WARNING && strstr(line, "nobody hears the inbox") != NULL)
        self->warnings++;
}

static bool is_synchronised(void *replica)
{
    return server_says(replica, "INFO replication", "master_link_status:up");
}
static bool is_one_of_two(void *node)
{
    return server_says(node, "CLUSTER INFO", "cluster_state:ok") &&
           server_says(node, "CLUSTER INFO", "cluster_known_nodes:2");
}

static void follow(server *replica, server *primary)
{
    server_order(replica, "REPLICAOF 127.0.0.1 %d", server_tcp_port(primary));
    eventually(is_synchronised, replica);
}

static server *start_server(kinship how)
{
    if (how == CLUSTER) return server_start_tcp("--cluster-enabled yes --cluster-port {bus}");
    return server_start_tcp("--repl-diskless-sync-delay 0 --repl-ping-replica-period 1");
}

static void join_cluster(split *self)
{
    server_order(self->stage.server, "CLUSTER ADDSLOTSRANGE 0 16383");
    server_order(self->stage.server, "CLUSTER MEET 127.0.0.1 %d %d", server_tcp_port(self->second),
                 server_bus_port(self->second));
    eventually(is_one_of_two, self->stage.server);
    eventually(is_one_of_two, self->second);
}

static int split_begin(void **state)
{
    static split the;
    kinship how = *(const kinship *)*state;
    memset(&the, 0, sizeof the);
    *state = &the;
    pthread_mutex_init(&the.stage.journal.mutex, NULL);
    the.stage.server = start_server(how);
    the.second = start_server(how);
    if (how == REPLICA) follow(the.second, the.stage.server);
    if (how == CLUSTER) join_cluster(&the);
    the.between = splitter_start(the.stage.server, the.second);
    return 0;
}

static int split_end(void **state)
{
    split *self = *state;
    void *plain = &self->stage;
    for (int i = 0; i < STAGE_CLIENTS; i++) {
        redlock_close(self->stage.clients[i]);
        self->stage.clients[i] = NULL;
    }
    splitter_stop(self->between);
    server_stop(self->second);
    return stage_end(&plain);
}

static void open_parties(split *self, const char *uri)
{
    for (int i = 0; i < PARTIES; i++)
        self->parties[i].client =
            stage_open(&self->stage, uri,
                       REDLOCK_CLIENT_OPTIONS(.log = note_warning, .log_arg = &self->parties[i]));
}

/* ---- Contenders, and what they believed -------------------------------------------------------*/

/* From when to when somebody surely believed that it holds the lock. */
typedef struct belief {
    int64_t begin_us, end_us, released_us;
    uint64_t fence;
} belief;

typedef struct contender {
    pthread_t thread;
    redlock_client *client;
    int64_t claim_ms;
    int64_t long_ms; /* how long every second section is; the others are short */
    int failed;
    belief beliefs[ROUNDS];
} contender;

static void believe(belief *self, redlock_lock *lock, int64_t span_ms)
{
    self->begin_us = self->end_us = now_us();
    self->fence = redlock_fence(lock);
    for (int64_t at_us = self->begin_us;
         at_us < self->begin_us + span_ms * 1000 && redlock_is_held(lock);) {
        self->end_us = at_us;
        let_pass_ms(1);
        at_us = now_us();
    }
}

/* It pauses so that others, who ask at intervals only, come in between. */
static void *contend(void *arg)
{
    contender *self = arg;
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = TTL_MS, .claim_ms = self->claim_ms, .wait_ms = LONG_MS);
    for (int i = 0; i < ROUNDS; i++) {
        redlock_lock *lock;
        if (redlock_acquire(self->client, name, options, &lock) != REDLOCK_OK) self->failed++;
        if (lock == NULL) continue;
        believe(&self->beliefs[i], lock, i % 2 == 1 ? self->long_ms : SHORT_MS);
        redlock_release(lock);
        self->beliefs[i].released_us = now_us();
        let_pass_ms(100 * (i % 3) + (int)self->claim_ms / 4);
    }
    return NULL;
}

static void begin_contest(split *the, contender *all, int64_t long_ms)
{
    static const int64_t claims_ms[PARTIES] = {300, 600, 1000};
    for (int i = 0; i < PARTIES; i++) {
        all[i] = (contender){
            .client = the->parties[i].client, .claim_ms = claims_ms[i], .long_ms = long_ms};
        assert_int_equal(pthread_create(&all[i].thread, NULL, contend, &all[i]), 0);
    }
}

static int by_begin(const void *left, const void *right)
{
    const belief *a = left, *b = right;
    return a->begin_us < b->begin_us ? -1 : a->begin_us > b->begin_us;
}

/* Ends the contest, and puts the beliefs in order. */
static void end_contest(contender *all, belief sorted[PARTIES * ROUNDS])
{
    for (int i = 0; i < PARTIES; i++) pthread_join(all[i].thread, NULL);
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(all[i].failed, 0);
        memcpy(sorted + (ptrdiff_t)i * ROUNDS, all[i].beliefs, sizeof all[i].beliefs);
    }
    qsort(sorted, PARTIES * ROUNDS, sizeof *sorted, by_begin);
}

static void expect_no_two_believers(const belief *sorted)
{
    for (int i = 0; i + 1 < PARTIES * ROUNDS; i++) {
        assert_true(sorted[i].end_us <= sorted[i + 1].begin_us);
        assert_true(sorted[i].fence < sorted[i + 1].fence);
    }
}

static int64_t longest_gap_ms(const belief *sorted)
{
    int64_t most_ms = 0;
    for (int i = 0; i + 1 < PARTIES * ROUNDS; i++) {
        int64_t gap_ms = (sorted[i + 1].begin_us - sorted[i].released_us) / 1000;
        if (gap_ms > most_ms) most_ms = gap_ms;
    }
    return most_ms;
}

/* ---- The inbox is elsewhere -------------------------------------------------------------------*/

static void contenders_whose_inboxes_are_elsewhere_exclude_each_other(void **state)
{
    split *the = *state;
    contender all[PARTIES];
    belief sorted[PARTIES * ROUNDS];
    open_parties(the, splitter_uri(the->between));
    stall began = stall_begin();
    begin_contest(the, all, SHORT_MS);
    end_contest(all, sorted);
    expect_no_two_believers(sorted);
    print_message("  free for %lld ms at the most\n", (long long)longest_gap_ms(sorted));
    TOOK(&began, longest_gap_ms(sorted) * 1000, INT64_MIN, FREE_MOST_MS * 1000);
    for (int i = 0; i < PARTIES; i++) assert_in_range(the->parties[i].warnings, 0, 1);
}

static bool was_warned(void *arg) { return ((party *)arg)->warnings > 0; }

typedef struct two {
    taker *one, *other;
} two;

static bool either_is_done(void *arg)
{
    const two *self = arg;
    return taker_is_done(self->one) || taker_is_done(self->other);
}

/* Whoever has it gives it back; both have had it in the end, each soon after it became free, at
 * the mark. */
static void expect_one_after_the_other(two *both, uint64_t least, const stall *freed)
{
    eventually(either_is_done, both);
    taker *first = taker_is_done(both->one) ? both->one : both->other;
    taker *last = first == both->one ? both->other : both->one;
    expect_within(first, freed, FREE_MOST_MS);
    uint64_t fence = redlock_fence(first->lock);
    assert_true(fence > least);
    assert_false(taker_is_done(last));
    stall again = stall_begin();
    taker_release(first);
    expect_within(last, &again, FREE_MOST_MS);
    assert_true(redlock_fence(last->lock) > fence);
    print_message("  after %lld and %lld ms\n",
                  (long long)(first->took_us - freed->began_us) / 1000,
                  (long long)(last->took_us - again.began_us) / 1000);
    taker_release(last);
}

static void who_is_not_heard_asks_and_each_client_says_so_once(void **state)
{
    split *the = *state;
    open_parties(the, splitter_uri(the->between));
    redlock_lock *lock = take(the->parties[0].client, name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    two both = {taker_start(&the->stage, the->parties[1].client, name, PATIENT_FOR(1000)),
                taker_start(&the->stage, the->parties[2].client, name, PATIENT_FOR(300))};
    for (int i = 1; i < PARTIES; i++) eventually(was_warned, &the->parties[i]);
    assert_int_equal(stage_waiters(&the->stage, name), 0);
    uint64_t fence = redlock_fence(lock);
    stall freed = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_one_after_the_other(&both, fence, &freed);
    for (int i = 0; i < PARTIES; i++) assert_int_equal(the->parties[i].warnings, i > 0);
}

static void an_inbox_that_is_opened_anew_in_the_right_place_is_heard(void **state)
{
    split *the = *state;
    open_parties(the, splitter_uri(the->between));
    splitter_lead_astray(the->between, 1);
    redlock_lock *lock = take(the->parties[0].client, name, FOR_EVER);
    taker *next = taker_start(&the->stage, the->parties[1].client, name, FOR_EVER);
    await_waiters(&the->stage, name, 1);
    stall freed = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(next, &freed);
    assert_int_equal(stats_of(the->parties[1].client).connections, 3);
    assert_int_equal(stats_of(the->parties[1].client).rechecks, 0);
    assert_int_equal(the->parties[1].warnings, 0);
    taker_release(next);
}

/* ---- The primary is demoted -------------------------------------------------------------------*/

static bool is_replica(void *node) { return server_says(node, "INFO replication", "role:slave"); }

/* The roles are changed without loss; the clients stay where they are. */
static void fail_over(server *from, server *to)
{
    server_order(from, "FAILOVER");
    eventually(is_replica, from);
    eventually(is_synchronised, from);
    assert_false(is_replica(to));
}

static int64_t connections_lost(const split *self)
{
    uint64_t lost = 0;
    for (int i = 0; i < PARTIES; i++) lost += stats_of(self->parties[i].client).connections_lost;
    return (int64_t)lost;
}

/* From then until somebody begins to believe. */
static int64_t until_begin_ms(const belief *sorted, int64_t from_us)
{
    int i = 0;
    while (i < PARTIES * ROUNDS && sorted[i].begin_us < from_us) i++;
    return i == PARTIES * ROUNDS ? 0 : (sorted[i].begin_us - from_us) / 1000;
}

/* Releases that were refused meanwhile are made up for; a claim that was not renewed ends by
 * itself. (A failover holds writes back for a while, so a renewal may be late, and end its
 * connection: not all of them outlive this.) */
static void contenders_on_a_primary_that_fails_over_and_back_exclude_each_other(void **state)
{
    split *the = *state;
    contender all[PARTIES];
    belief sorted[PARTIES * ROUNDS];
    open_parties(the, server_uri(the->stage.server));
    stall back[2];
    begin_contest(the, all, LONG_SECTION_MS);
    for (int i = 0; i < 2; i++) {
        let_pass_ms(300);
        fail_over(the->stage.server, the->second);
        let_pass_ms(700);
        fail_over(the->second, the->stage.server);
        back[i] = stall_begin();
    }
    end_contest(all, sorted);
    expect_no_two_believers(sorted);
    assert_true(server_says(the->stage.server, "INFO errorstats", "errorstat_READONLY"));
    for (int i = 0; i < 2; i++)
        TOOK(&back[i], until_begin_ms(sorted, back[i].began_us) * 1000, 0,
             (LONG_SECTION_MS + FREE_MOST_MS) * 1000);
}

/* It comes back empty: with what the other had. The old holder has stopped to believe by then. */
static void a_waiter_on_a_demoted_primary_has_the_lock_soon_after_its_return(void **state)
{
    split *the = *state;
    open_parties(the, server_uri(the->stage.server));
    redlock_lock *lock = take(the->parties[0].client, name, REDLOCK_OPTIONS(.ttl_ms = TTL_MS));
    const redlock_options *options =
        REDLOCK_OPTIONS(.wait_ms = LONG_MS, .ttl_ms = TTL_MS, .claim_ms = 1000);
    two both = {.one = taker_start(&the->stage, the->parties[1].client, name, options)};
    await_waiters(&the->stage, name, 1);
    both.other = taker_start(&the->stage, the->parties[2].client, name, options);
    await_waiters(&the->stage, name, 2);
    follow(the->stage.server, the->second);
    eventually(is_unheld, lock);
    assert_false(either_is_done(&both));
    stall freed = stall_begin();
    server_order(the->stage.server, "REPLICAOF NO ONE");
    expect_one_after_the_other(&both, redlock_fence(lock), &freed);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    /* Whoever is refused leaves, and looks for another; not without a pause. */
    assert_in_range(connections_lost(the), 1, CONNECTIONS_MOST);
}

#define ACROSS(test, how)                                                                          \
    {                                                                                              \
#test " [" #how "]", test, split_begin, split_end, (void *)(uintptr_t) & (how)             \
    }

int main(void)
{
    static const kinship strangers = STRANGERS, replica = REPLICA, cluster = CLUSTER;
    const struct CMUnitTest tests[] = {
        ACROSS(contenders_whose_inboxes_are_elsewhere_exclude_each_other, strangers),
        ACROSS(contenders_whose_inboxes_are_elsewhere_exclude_each_other, replica),
        ACROSS(contenders_whose_inboxes_are_elsewhere_exclude_each_other, cluster),
        ACROSS(who_is_not_heard_asks_and_each_client_says_so_once, strangers),
        ACROSS(who_is_not_heard_asks_and_each_client_says_so_once, replica),
        ACROSS(who_is_not_heard_asks_and_each_client_says_so_once, cluster),
        ACROSS(an_inbox_that_is_opened_anew_in_the_right_place_is_heard, replica),
        ACROSS(contenders_on_a_primary_that_fails_over_and_back_exclude_each_other, replica),
        ACROSS(a_waiter_on_a_demoted_primary_has_the_lock_soon_after_its_return, strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
