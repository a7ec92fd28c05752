/* SPDX-License-Identifier: MIT
 * Why a call failed that takes no detail: redlock_why_failed, for each of them and in completions;
 * and what the log says of a release that failed. */
#include "live/modes_stage.h"

enum { CROWD = 20, TIMEOUT_MS = 300 };

/* A client of its own, which does not wait long for a server that is away. */
static redlock_client *impatient(stage *the)
{
    return stage_open(the, server_uri(the->server),
                      REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS, LOGGED(the)));
}

static void expect_no_words(void) { assert_string_equal(redlock_why_failed(), ""); }

static void expect_words(const char *part)
{
    if (strstr(redlock_why_failed(), part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, redlock_why_failed());
}

/* Each thread begins without any, which a new one proves. */
static void *has_no_words(void *arg)
{
    (void)arg;
    return redlock_why_failed()[0] == '\0' ? NULL : "words";
}

/* ---- What the server said ---------------------------------------------------------------------*/

static void the_server_denies_scripts(stage *the, bool it_does)
{
    server_order(the->server, "ACL SETUSER default %s", it_does ? "-@scripting" : "+@all");
}

static void what_the_server_says_is_told_of_each_call(void **state)
{
    stage *the = *state;
    redlock_client *client = impatient(the);
    redlock_lock *lock = take(client, "r", EXCLUSIVE());
    expect_no_words();
    the_server_denies_scripts(the, true);
    EXPECT(redlock_extend(lock, 2 * LONG_MS), REDLOCK_ERR_DENIED);
    expect_words("NOPERM");
    EXPECT(redlock_extend(lock, 0), REDLOCK_ERR_TTL);
    expect_no_words();
    EXPECT(redlock_downgrade(lock), REDLOCK_ERR_DENIED);
    expect_words("NOPERM");
    EXPECT(redlock_downgrade(NULL), REDLOCK_ERR_ARGUMENT);
    expect_no_words();
    EXPECT(redlock_upgrade(lock), REDLOCK_ERR_DENIED);
    expect_words("NOPERM");
    the_server_denies_scripts(the, false);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    expect_words("NOPERM"); /* a success leaves them */
    the_server_denies_scripts(the, true);
    EXPECT(redlock_release(lock), REDLOCK_ERR_DENIED);
    expect_words("NOPERM");
    the_server_denies_scripts(the, false);
}

static void words_are_those_of_a_thread(void **state)
{
    stage *the = *state;
    pthread_t other;
    void *found = NULL;
    redlock_lock *lock = take(the->client, "r", EXCLUSIVE());
    the_server_denies_scripts(the, true);
    EXPECT(redlock_extend(lock, 2 * LONG_MS), REDLOCK_ERR_DENIED);
    the_server_denies_scripts(the, false);
    assert_int_equal(pthread_create(&other, NULL, has_no_words, NULL), 0);
    pthread_join(other, &found);
    assert_null(found);
    expect_words("NOPERM");
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Losses -----------------------------------------------------------------------------------*/

static void a_lost_lock_says_how_it_was_lost(void **state)
{
    stage *the = *state;
    redlock_lock *deleted = take(the->client, "r", EXCLUSIVE());
    redlock_lock *gone = take(the->client, "s", EXCLUSIVE());
    redlock_lock *expired = take(the->client, "t", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    server_order(the->server, "DEL redlock:{r} redlock:{s}");
    EXPECT(redlock_release(deleted), REDLOCK_LOST);
    assert_string_equal(redlock_why_failed(), redlock_loss_text(REDLOCK_LOSS_TAKEN));
    eventually(is_unheld, expired);
    EXPECT(redlock_extend(expired, LONG_MS), REDLOCK_LOST);
    assert_string_equal(redlock_why_failed(), redlock_loss_text(REDLOCK_LOSS_EXPIRED));
    EXPECT(redlock_extend(gone, LONG_MS), REDLOCK_LOST);
    assert_string_equal(redlock_why_failed(), redlock_loss_text(REDLOCK_LOSS_TAKEN));
    EXPECT(redlock_release(expired), REDLOCK_LOST);
    assert_string_equal(redlock_why_failed(), redlock_loss_text(REDLOCK_LOSS_EXPIRED));
    EXPECT(redlock_release(gone), REDLOCK_LOST);
    assert_string_equal(redlock_why_failed(), redlock_loss_text(REDLOCK_LOSS_TAKEN));
}

/* ---- The log ----------------------------------------------------------------------------------*/

static void expect_line(stage *the, const char *part)
{
    if (strstr(the->journal.last, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, the->journal.last);
}

static void a_release_that_could_not_be_told_is_logged_with_its_words(void **state)
{
    stage *the = *state;
    redlock_client *client = impatient(the);
    redlock_lock *lock = take(client, "r", EXCLUSIVE());
    server_kill(the->server);
    EXPECT(redlock_release(lock), REDLOCK_ERR_CONNECT);
    assert_true(strlen(redlock_why_failed()) > 0);
    assert_int_equal(atomic_load(&the->journal.lines), 1);
    expect_line(the, "lock \"r\": release failed: ");
    expect_line(the, redlock_strerror(REDLOCK_ERR_CONNECT));
    expect_line(the, redlock_why_failed());
}

static void of_a_set_the_first_failure_has_its_words_and_its_line(void **state)
{
    static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    stage *the = *state;
    redlock_client *client = impatient(the);
    redlock_set *set;
    EXPECT(redlock_acquire_set(client, names, 3, EXCLUSIVE(), &set), REDLOCK_OK);
    the_server_denies_scripts(the, true);
    EXPECT(redlock_release_set(set), REDLOCK_ERR_DENIED);
    the_server_denies_scripts(the, false);
    expect_words("NOPERM");
    assert_int_equal(atomic_load(&the->journal.lines), 1);
}

static void a_scope_that_could_not_be_left_is_logged_once(void **state)
{
    stage *the = *state;
    redlock_client *client = impatient(the);
    redlock_status status;
    int error = 0;
    REDLOCK_WITH (client, "r", &status, &error, .ttl_ms = LONG_MS) {
        error = 1; /* so that the release's own failure has no other place */
        the_server_denies_scripts(the, true);
    }
    the_server_denies_scripts(the, false);
    EXPECT(status, REDLOCK_ERR_DENIED);
    expect_words("NOPERM");
    assert_int_equal(atomic_load(&the->journal.lines), 1);
    expect_line(the, "NOPERM");
}

/* ---- Completions ------------------------------------------------------------------------------*/

typedef struct note {
    _Atomic int count;
    redlock_status status;
    char words[256];
} note;

static void notes(void *arg, redlock_status status)
{
    note *self = arg;
    self->status = status;
    snprintf(self->words, sizeof self->words, "%s", redlock_why_failed());
    atomic_fetch_add(&self->count, 1);
}

static void notes_lock(void *arg, redlock_status status, redlock_lock *lock)
{
    assert_null(lock);
    notes(arg, status);
}

static void notes_set(void *arg, redlock_status status, redlock_set *set)
{
    assert_null(set);
    notes(arg, status);
}

/* A client whose completions are delivered, and who asks for them. */
typedef struct delivered {
    redlock_client *client;
    note *about;
    int count;
} delivered;

static bool are_delivered(void *arg)
{
    const delivered *self = arg;
    return redlock_process(self->client) == REDLOCK_OK &&
           atomic_load(&self->about->count) == self->count;
}

static void expect_noted(redlock_client *client, note *about, const char *part)
{
    EXPECT(redlock_downgrade(NULL), REDLOCK_ERR_ARGUMENT);
    expect_no_words(); /* of an earlier failure */
    eventually(are_delivered, (&(delivered){client, about, 1}));
    EXPECT(about->status, REDLOCK_ERR_DENIED);
    if (strstr(about->words, part) == NULL) fail_msg("\"%s\"", about->words);
    *about = (note){0};
}

static void a_completion_finds_the_words_of_what_it_tells(void **state)
{
    static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}};
    stage *the = *state;
    note heard = {0};
    redlock_client *client = stage_open(the, server_uri(the->server),
                                        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_DELIVER));
    redlock_lock *lock = take(client, "r", EXCLUSIVE());
    redlock_set *set;
    EXPECT(redlock_acquire_set(client, names, 2, EXCLUSIVE(), &set), REDLOCK_OK);
    the_server_denies_scripts(the, true);
    EXPECT(redlock_extend_async(lock, LONG_MS, notes, &heard), REDLOCK_OK);
    expect_noted(client, &heard, "NOPERM");
    EXPECT(redlock_acquire_async(client, "s", 1, NULL, notes_lock, &heard, NULL), REDLOCK_OK);
    expect_noted(client, &heard, "NOPERM");
    EXPECT(redlock_acquire_set_async(client, names, 2, NULL, notes_set, &heard, NULL), REDLOCK_OK);
    expect_noted(client, &heard, "NOPERM");
    EXPECT(redlock_release_set_async(set, notes, &heard), REDLOCK_OK);
    expect_noted(client, &heard, "NOPERM");
    EXPECT(redlock_release_async(lock, notes, &heard), REDLOCK_OK);
    expect_noted(client, &heard, "NOPERM");
    the_server_denies_scripts(the, false);
}

static void many_releases_that_failed_are_not_each_logged(void **state)
{
    stage *the = *state;
    note heard = {0};
    redlock_client *client =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_DELIVER, LOGGED(the)));
    redlock_lock *locks[CROWD];
    for (int i = 0; i < CROWD; i++) {
        char each[16];
        snprintf(each, sizeof each, "r%d", i);
        locks[i] = take(client, each, EXCLUSIVE());
    }
    the_server_denies_scripts(the, true);
    for (int i = 0; i < CROWD; i++)
        EXPECT(redlock_release_async(locks[i], notes, &heard), REDLOCK_OK);
    eventually(are_delivered, (&(delivered){client, &heard, CROWD}));
    the_server_denies_scripts(the, false);
    assert_in_range(atomic_load(&the->journal.lines), 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(what_the_server_says_is_told_of_each_call),
        ON_STAGE(words_are_those_of_a_thread),
        ON_STAGE(a_lost_lock_says_how_it_was_lost),
        ON_STAGE(a_release_that_could_not_be_told_is_logged_with_its_words),
        ON_STAGE(of_a_set_the_first_failure_has_its_words_and_its_line),
        ON_STAGE(a_scope_that_could_not_be_left_is_logged_once),
        ON_STAGE(a_completion_finds_the_words_of_what_it_tells),
        ON_STAGE(many_releases_that_failed_are_not_each_logged),
    };
    return cmocka_run_group_tests_name("live words", tests, NULL, NULL);
}
