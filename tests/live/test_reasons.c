/* SPDX-License-Identifier: MIT
 * Why a lock was lost, as its holder and the log are told; and what the log says of a server that
 * is away: little, once, in plain words. */
#include "live/modes_stage.h"

enum {
    RENEWED_MS = 900,
    BRIEF_MS = 300,
    CROWD = 20,
    AWAY_MS = 10000,
    LINES_MOST = 4,
    LASTS_MS = 9000
};

/* ---- The reasons ------------------------------------------------------------------------------*/

typedef struct hearing {
    _Atomic int told;
    _Atomic int why;
} hearing;

static void hears(void *arg, redlock_lock *lock)
{
    hearing *self = arg;
    atomic_store(&self->why, (int)redlock_why_lost(lock));
    atomic_fetch_add(&self->told, 1);
}

static bool has_heard(void *arg) { return atomic_load(&((hearing *)arg)->told) > 0; }

#define HEARD(self, ...) REDLOCK_OPTIONS(.on_lost = hears, .on_lost_arg = (self), __VA_ARGS__)

static void expect_loss(redlock_lock *lock, hearing *heard, redlock_loss why)
{
    eventually(has_heard, heard);
    assert_string_equal(redlock_loss_text((redlock_loss)atomic_load(&heard->why)),
                        redlock_loss_text(why));
    assert_int_equal(redlock_why_lost(lock), why);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

static void what_was_deleted_was_taken(void **state)
{
    stage *the = *state;
    hearing heard = {0};
    redlock_lock *lock =
        take(the->client, "r", HEARD(&heard, .ttl_ms = RENEWED_MS, .auto_renew = true));
    assert_int_equal(redlock_why_lost(lock), REDLOCK_LOSS_NONE);
    server_order(the->server, "DEL redlock:{r}");
    expect_loss(lock, &heard, REDLOCK_LOSS_TAKEN);
}

static void what_was_forced_was_taken(void **state)
{
    stage *the = *state;
    hearing heard = {0};
    redlock_lock *lock =
        take(the->client, "r", HEARD(&heard, .ttl_ms = RENEWED_MS, .auto_renew = true));
    EXPECT(redlock_force_release(the->other, "r", 1, NULL, NULL), REDLOCK_OK);
    expect_loss(lock, &heard, REDLOCK_LOSS_TAKEN);
}

static void on_a_silent_server_it_was_not_renewed(void **state)
{
    stage *the = *state;
    hearing heard = {0};
    redlock_lock *lock =
        take(the->client, "r", HEARD(&heard, .ttl_ms = RENEWED_MS, .auto_renew = true));
    server_freeze(the->server);
    eventually(has_heard, &heard);
    server_thaw(the->server);
    expect_loss(lock, &heard, REDLOCK_LOSS_NOT_RENEWED);
}

static void what_was_not_to_be_renewed_expired(void **state)
{
    stage *the = *state;
    hearing heard = {0}, bound = {0};
    redlock_lock *once = take(the->client, "r", HEARD(&heard, .ttl_ms = BRIEF_MS));
    redlock_lock *longest =
        take(the->client, "s",
             HEARD(&bound, .ttl_ms = BRIEF_MS, .auto_renew = true, .max_hold_ms = 2 * BRIEF_MS));
    expect_loss(once, &heard, REDLOCK_LOSS_EXPIRED);
    expect_loss(longest, &bound, REDLOCK_LOSS_EXPIRED);
}

static bool is_not_held(void *lock) { return !redlock_is_held(lock); }

static void what_nobody_watched_expired_too(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = BRIEF_MS));
    eventually(is_not_held, lock);
    assert_int_equal(redlock_why_lost(lock), REDLOCK_LOSS_EXPIRED);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(redlock_why_lost(NULL), REDLOCK_LOSS_NONE);
}

/* The server has the key as it was before two conversions. */
static void what_an_older_server_says_was_forgotten(void **state)
{
    stage *the = *state;
    hearing heard = {0};
    redlock_lock *lock =
        take(the->client, "r", HEARD(&heard, .ttl_ms = RENEWED_MS, .auto_renew = true));
    redisReply *old = server_command(the->server, "DUMP redlock:{r}");
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    freeReplyObject(server_command(the->server, "RESTORE redlock:{r} %d %b REPLACE", LONG_MS,
                                   old->str, old->len));
    freeReplyObject(old);
    expect_loss(lock, &heard, REDLOCK_LOSS_FORGOTTEN);
}

/* ---- The log ----------------------------------------------------------------------------------*/

static bool all_are_lost(void *client) { return stats_of(client).lost == CROWD; }

static void losses_that_nobody_hears_of_are_logged_and_not_each(void **state)
{
    stage *the = *state;
    redlock_lock *locks[CROWD];
    for (int i = 0; i < CROWD; i++) {
        char each[16];
        snprintf(each, sizeof each, "r%d", i);
        locks[i] =
            take(the->client, each, REDLOCK_OPTIONS(.ttl_ms = RENEWED_MS, .auto_renew = true));
    }
    server_order(the->server, "FLUSHALL");
    eventually(all_are_lost, the->client);
    assert_in_range(atomic_load(&the->journal.lines), 1, 2);
    assert_non_null(strstr(the->journal.last, "is lost"));
    assert_non_null(strstr(the->journal.last, redlock_loss_text(REDLOCK_LOSS_TAKEN)));
    for (int i = 0; i < CROWD; i++) EXPECT(redlock_release(locks[i]), REDLOCK_LOST);
}

typedef struct record {
    _Atomic int lines, told_away, told_back;
    char away[256]; /* written before it is counted */
} record;

static void notes(void *arg, redlock_level level, const char *line)
{
    record *self = arg;
    if (level <= REDLOCK_LOG_WARNING) atomic_fetch_add(&self->lines, 1);
    bool is_away = strstr(line, "no service for") != NULL;
    if (is_away) snprintf(self->away, sizeof self->away, "%s", line);
    atomic_fetch_add(&self->told_away, is_away);
    if (strstr(line, "it serves again") != NULL) atomic_fetch_add(&self->told_back, 1);
}

static bool is_told_back(void *arg) { return atomic_load(&((record *)arg)->told_back) > 0; }

/* The line that tells of it, when it is told: both are held still, the first for this long. */
static void expect_stakes(const record *seen)
{
    static const char words[] = "; 2 renewed locks held, the first is lost in ";
    double left_s = -1;
    const char *at = strstr(seen->away, words);
    if (at == NULL) fail_msg("nothing is at stake: %s", seen->away);
    assert_int_equal(sscanf(at + strlen(words), "%lf s", &left_s), 1);
    if (left_s <= 0 || left_s > LASTS_MS / 1000.0) fail_msg("for %f s?", left_s);
}

/* Two renewed locks, and somebody who waits for ever. */
static void an_outage_is_told_once(void **state)
{
    stage *the = *state;
    record seen = {0};
    redlock_client *client = stage_open(
        the, server_uri(the->server),
        REDLOCK_CLIENT_OPTIONS(.log = notes, .log_arg = &seen, .log_level = REDLOCK_LOG_INFO));
    const redlock_options *renewed = REDLOCK_OPTIONS(.ttl_ms = LASTS_MS, .auto_renew = true);
    redlock_lock *one = take(client, "one", renewed), *two = take(client, "two", renewed);
    redlock_lock *lock = take(the->client, "r", EXCLUSIVE());
    taker *next = queued(the, client, 1, EXCLUSIVE(PATIENT));
    server_kill(the->server);
    let_pass_ms(AWAY_MS);
    assert_int_equal(atomic_load(&seen.told_away), 1);
    expect_stakes(&seen);
    assert_in_range(atomic_load(&seen.lines), 1, LINES_MOST);
    server_restart(the->server);
    eventually(is_told_back, &seen);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
    EXPECT(redlock_release(one), REDLOCK_LOST);
    EXPECT(redlock_release(two), REDLOCK_LOST);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_int_equal(atomic_load(&seen.told_back), 1);
    assert_in_range(atomic_load(&seen.lines), 1, LINES_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(what_was_deleted_was_taken),
        ON_STAGE(what_was_forced_was_taken),
        ON_STAGE(on_a_silent_server_it_was_not_renewed),
        ON_STAGE(what_was_not_to_be_renewed_expired),
        ON_STAGE(what_nobody_watched_expired_too),
        ON_STAGE(what_an_older_server_says_was_forgotten),
        ON_STAGE(losses_that_nobody_hears_of_are_logged_and_not_each),
        ON_STAGE(an_outage_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
