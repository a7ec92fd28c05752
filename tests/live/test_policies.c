/* SPDX-License-Identifier: MIT
 * Who starves under which policy, and that nobody does under the fair one. The figures are read
 * from the server's own account of what it did (MONITOR): the order in which it queued and
 * admitted, whatever the threads here were told when. $REDLOCK_TEST_SECONDS says for how long each
 * policy runs; default 2. */
#include <poll.h>

#include "live/stage.h"

static const char *const name = "r";

#define PATIENT .wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS, .ttl_ms = LONG_MS
#define READER(...) REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, PATIENT, __VA_ARGS__)
#define WRITER(...) REDLOCK_OPTIONS(PATIENT, __VA_ARGS__)

static redlock_status try_to_read(redlock_client *client, redlock_policy policy)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(
        client, name, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .policy = policy), &lock);
    redlock_release(lock);
    return status;
}

/* ---- One step at a time -----------------------------------------------------------------------*/

enum { STEPS = 50 };

static void overlapping_readers_keep_a_writer_out_for_as_long_as_they_overlap(void **state)
{
    stage *the = *state;
    redlock_lock *now = take(the->client, name, READER());
    taker *writer = queued(the, the->other, 1, WRITER());
    for (int i = 0; i < STEPS; i++) {
        redlock_lock *next = take(the->client, name, READER());
        EXPECT(redlock_release(now), REDLOCK_OK);
        now = next;
        assert_false(atomic_load(&writer->is_done));
    }
    assert_int_equal(stage_waiters(the, name), 1);
    EXPECT(redlock_release(now), REDLOCK_OK);
    expect_taker(writer, REDLOCK_OK);
    taker_release(writer);
}

static void under_the_other_policies_no_reader_overlaps_past_a_writer(void **state)
{
    stage *the = *state;
    for (redlock_policy policy = REDLOCK_FAIR; policy <= REDLOCK_PREFER_WRITERS; policy++) {
        redlock_lock *reader = take(the->client, name, READER(.policy = policy));
        taker *writer = queued(the, the->other, 1, WRITER(.policy = policy));
        EXPECT(try_to_read(the->client, policy), REDLOCK_BUSY);
        EXPECT(redlock_release(reader), REDLOCK_OK);
        expect_taker(writer, REDLOCK_OK);
        taker_release(writer);
    }
}

static void writers_that_keep_coming_keep_a_reader_out_under_writer_preference(void **state)
{
    stage *the = *state;
    taker *now = taker_start(the, the->client, name, WRITER(.policy = REDLOCK_PREFER_WRITERS));
    expect_taker(now, REDLOCK_OK);
    taker *reader = queued(the, the->other, 1, READER(.policy = REDLOCK_PREFER_WRITERS));
    for (int i = 0; i < STEPS; i++) {
        taker *next = queued(the, the->client, 2, WRITER(.policy = REDLOCK_PREFER_WRITERS));
        taker_release(now);
        expect_taker(next, REDLOCK_OK);
        now = next;
        assert_false(atomic_load(&reader->is_done));
    }
    taker_release(now);
    expect_taker(reader, REDLOCK_OK);
    taker_release(reader);
}

static void whoever_came_first_goes_first_under_the_fair_policy(void **state)
{
    enum { READERS = 3 };
    stage *the = *state;
    taker *now = taker_start(the, the->client, name, WRITER(.policy = REDLOCK_FAIR)),
          *readers[READERS];
    expect_taker(now, REDLOCK_OK);
    for (int i = 0; i < 5; i++) {
        for (int r = 0; r < READERS; r++)
            readers[r] = queued(the, the->other, 1 + r, READER(.policy = REDLOCK_FAIR));
        taker *next = queued(the, the->client, 1 + READERS, WRITER(.policy = REDLOCK_FAIR));
        taker_release(now);
        for (int r = 0; r < READERS; r++) expect_taker(readers[r], REDLOCK_OK);
        assert_false(atomic_load(&next->is_done));
        EXPECT(try_to_read(the->other, REDLOCK_FAIR), REDLOCK_BUSY);
        for (int r = 0; r < READERS; r++) taker_release(readers[r]);
        expect_taker(next, REDLOCK_OK);
        now = next;
    }
    taker *writer = queued(the, the->client, 1, WRITER(.policy = REDLOCK_FAIR));
    taker *reader = queued(the, the->other, 2, READER(.policy = REDLOCK_FAIR));
    taker_release(now);
    expect_taker(writer, REDLOCK_OK);
    assert_false(atomic_load(&reader->is_done));
    taker_release(writer);
    expect_taker(reader, REDLOCK_OK);
    taker_release(reader);
}

/* ---- What the server did ----------------------------------------------------------------------
 *
 * Every waiter that it queued and every holder that it admitted passes here once, in order. A
 * party's name ("r17", "w2") is its client's. A batch of readers has each reader once at the most,
 * so a writer has sat out as many batches as the busiest reader was admitted meanwhile. */

enum { READERS = 32, WRITERS = 4, PARTIES = READERS + WRITERS };

typedef struct member {
    bool is_waiting;
    int64_t queued_us;
    int admitted[PARTIES]; /* of each party, since this one queued ... */
    int in_line[PARTIES];  /* ... and since it was the first writer in line */
    char hold_id[64];      /* the last that was admitted: a renewal of it is no admission */
} member;

typedef struct account {
    member of[PARTIES];
    int line[WRITERS], length; /* the writers that wait, in order */
    int batches,
        batches_first_in_line; /* the most that a writer sat out, in all and as the first in line */
    int writers;               /* the most writers that a reader sat out */
    int64_t writer_us, reader_us; /* the longest waits */
    long long reads, writes;
} account;

static bool is_writer(int party) { return party >= READERS; }

static int busiest(const int *admitted, int from, int to)
{
    int most = 0;
    for (int i = from; i < to; i++)
        if (admitted[i] > most) most = admitted[i];
    return most;
}

static int total(const int *admitted, int from, int to)
{
    int sum = 0;
    for (int i = from; i < to; i++) sum += admitted[i];
    return sum;
}

static void raise_to(int *most, int value)
{
    if (value > *most) *most = value;
}

static void note_queued(account *self, int party, int64_t at_us)
{
    member *one = &self->of[party];
    if (one->is_waiting) return;
    one->is_waiting = true;
    one->queued_us = at_us;
    memset(one->admitted, 0, sizeof one->admitted);
    memset(one->in_line, 0, sizeof one->in_line);
    if (is_writer(party)) self->line[self->length++] = party;
}

static void end_wait(account *self, int party, int64_t at_us)
{
    member *one = &self->of[party];
    int64_t *longest = is_writer(party) ? &self->writer_us : &self->reader_us;
    if (!one->is_waiting) return;
    one->is_waiting = false;
    if (at_us - one->queued_us > *longest) *longest = at_us - one->queued_us;
    if (!is_writer(party)) {
        raise_to(&self->writers, total(one->admitted, READERS, PARTIES));
        return;
    }
    raise_to(&self->batches, busiest(one->admitted, 0, READERS));
    raise_to(&self->batches_first_in_line, busiest(one->in_line, 0, READERS));
    int place = 0;
    while (self->line[place] != party) place++;
    self->length--;
    for (; place < self->length; place++) self->line[place] = self->line[place + 1];
}

static void note_admitted(account *self, int party, int64_t at_us)
{
    end_wait(self, party, at_us);
    for (int i = 0; i < PARTIES; i++) self->of[i].admitted[party]++;
    if (self->length > 0) self->of[self->line[0]].in_line[party]++;
    if (is_writer(party)) self->writes++;
    else self->reads++;
}

static int party_called(const char *who)
{
    const char *last = strrchr(who, ':');
    if (last == NULL || (last[1] != 'r' && last[1] != 'w')) return -1;
    return atoi(last + 2) + (last[1] == 'w' ? READERS : 0);
}

/* One member that the server wrote: of a waiter ("<claim> <channel> <mode> <holder>") or of a
 * holder. */
static void note_member(account *self, const char *text, int64_t at_us)
{
    char channel[256], hold_id[64], who[128];
    int party;
    if (sscanf(text, "%*u %255s %*s %*s %63s %127s", channel, hold_id, who) == 3 &&
        (party = party_called(who)) >= 0) {
        if (strcmp(channel, "-") != 0) note_queued(self, party, at_us); /* else it only tries */
    } else if ((*text == '-' || *text == '@') &&
               sscanf(text, "%*s %63s %127s", hold_id, who) == 2 &&
               (party = party_called(who)) >= 0 && strcmp(self->of[party].hold_id, hold_id) != 0) {
        strcpy(self->of[party].hold_id, hold_id);
        note_admitted(self, party, at_us);
    }
}

/* 1700000000.123456 [0 lua] "ZADD" "redlock:{r}" "-57..." "f1" "17..." "- ..." */
static void note_line(account *self, char *line)
{
    char *at = strstr(line, "lua] \"ZADD\" "), *rest;
    if (at == NULL) return;
    int64_t at_us = (int64_t)(strtod(line, NULL) * 1e6);
    strtok_r(at, "\"", &rest);
    for (char *word = strtok_r(NULL, "\"", &rest); word != NULL; word = strtok_r(NULL, "\"", &rest))
        note_member(self, word, at_us);
}

typedef struct reporter {
    account account;
    pthread_t thread;
    redisContext *feed;
} reporter;

/* Until the test asks the server for "quite-over". */
static void *reporter_run(void *arg)
{
    reporter *self = arg;
    redisReply *line = NULL;
    bool is_over = false;
    while (!is_over && redisGetReply(self->feed, (void **)&line) == REDIS_OK) {
        is_over = strstr(line->str, "quite-over") != NULL;
        note_line(&self->account, line->str);
        freeReplyObject(line);
    }
    return NULL;
}

static void reporter_begin(reporter *self, stage *the)
{
    self->feed = redisConnectUnix(server_socket(the->server));
    assert_non_null(self->feed);
    freeReplyObject(redisCommand(self->feed, "MONITOR"));
    assert_int_equal(pthread_create(&self->thread, NULL, reporter_run, self), 0);
}

static void reporter_end(reporter *self, stage *the)
{
    server_number(the->server, "EXISTS quite-over");
    pthread_join(self->thread, NULL);
    redisFree(self->feed);
}

/* ---- A crowd ----------------------------------------------------------------------------------*/

typedef struct crowd {
    stage *stage;
    redlock_policy policy;
    _Atomic bool is_over;
    _Atomic int failed, inside_readers, inside_writers;
} crowd;

typedef struct actor {
    crowd *crowd;
    int party;
    pthread_t thread;
} actor;

static void section(crowd *self, bool writes)
{
    if (writes) {
        if (++self->inside_writers != 1 || self->inside_readers != 0) self->failed++;
    } else {
        self->inside_readers++;
        if (self->inside_writers != 0) self->failed++;
    }
    poll(NULL, 0, 1);
    if (writes) self->inside_writers--;
    else self->inside_readers--;
}

static void *act(void *arg)
{
    actor *self = arg;
    crowd *all = self->crowd;
    bool writes = is_writer(self->party);
    char client_name[16];
    redlock_client *client;
    snprintf(client_name, sizeof client_name, "%c%d", writes ? 'w' : 'r',
             self->party - (writes ? READERS : 0));
    if (redlock_open(server_uri(all->stage->server), REDLOCK_CLIENT_OPTIONS(.name = client_name),
                     &client) != REDLOCK_OK) {
        all->failed++;
        return NULL;
    }
    while (!all->is_over) {
        redlock_lock *lock;
        const redlock_options *options = REDLOCK_OPTIONS(
            PATIENT, .mode = writes ? REDLOCK_EXCLUSIVE : REDLOCK_SHARED, .policy = all->policy);
        redlock_status status = redlock_acquire(client, name, options, &lock);
        if (status == REDLOCK_OK) section(all, writes);
        if (status != REDLOCK_OK || redlock_release(lock) != REDLOCK_OK) all->failed++;
    }
    redlock_close(client);
    return NULL;
}

static int seconds(void)
{
    const char *given = getenv("REDLOCK_TEST_SECONDS");
    return given != NULL && atoi(given) > 0 ? atoi(given) : 2;
}

static void run_crowd(stage *the, redlock_policy policy, const char *title, account *out)
{
    static actor actors[PARTIES];
    static reporter reports;
    crowd all = {.stage = the, .policy = policy};
    memset(&reports, 0, sizeof reports);
    reporter_begin(&reports, the);
    for (int i = 0; i < PARTIES; i++) {
        actors[i] = (actor){.crowd = &all, .party = i};
        assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
    }
    for (int64_t end_us = now_us() + seconds() * (int64_t)1000000; now_us() < end_us;)
        patience_pause();
    all.is_over = true;
    for (int i = 0; i < PARTIES; i++) pthread_join(actors[i].thread, NULL);
    reporter_end(&reports, the);
    *out = reports.account;
    print_message("%s, %d s: %lld reads, %lld writes; a writer sat out at most %d batches (%d as "
                  "the next) and %lld ms; "
                  "a reader %d writers and %lld ms\n",
                  title, seconds(), out->reads, out->writes, out->batches,
                  out->batches_first_in_line, (long long)out->writer_us / 1000, out->writers,
                  (long long)out->reader_us / 1000);
    assert_int_equal(all.failed, 0);
    assert_true(out->reads >= READERS);
    assert_true(out->writes >= WRITERS);
}

/* A reader sits out the writers that came before it: each of them once, and again if it was quick
 * to come back. */
static void nobody_starves_under_the_fair_policy(void **state)
{
    account seen;
    run_crowd(*state, REDLOCK_FAIR, "fair", &seen);
    assert_in_range(seen.batches_first_in_line, 0, 2);
    assert_in_range(seen.batches, 0, 2);
    assert_in_range(seen.writers, 0, 2 * WRITERS);
}

static void writers_starve_under_reader_preference(void **state)
{
    account seen;
    run_crowd(*state, REDLOCK_PREFER_READERS, "reader preference", &seen);
    if (!patience_is_instrumented()) assert_true(seen.batches_first_in_line > 2 * (WRITERS + 1));
    assert_in_range(seen.writers, 0, 1);
}

static void readers_starve_under_writer_preference(void **state)
{
    account seen;
    run_crowd(*state, REDLOCK_PREFER_WRITERS, "writer preference", &seen);
    assert_in_range(seen.batches_first_in_line, 0, 1);
    if (!patience_is_instrumented()) assert_true(seen.writers > 2 * (WRITERS + 1));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(overlapping_readers_keep_a_writer_out_for_as_long_as_they_overlap),
        ON_STAGE(under_the_other_policies_no_reader_overlaps_past_a_writer),
        ON_STAGE(writers_that_keep_coming_keep_a_reader_out_under_writer_preference),
        ON_STAGE(whoever_came_first_goes_first_under_the_fair_policy),
        ON_STAGE(nobody_starves_under_the_fair_policy),
        ON_STAGE(writers_starve_under_reader_preference),
        ON_STAGE(readers_starve_under_writer_preference),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
