/* SPDX-License-Identifier: MIT
 * The least rights, read from docs/protocol.md: a user that has them, and no more, gets through a
 * tour of everything; without any one of them the tour ends as the page says. */
#include "live/stage.h"
#include "wire/answer.h"
#include "wire/question.h"

/* ---- What the page says -----------------------------------------------------------------------*/

enum { RIGHTS_MOST = 40, RIGHT_SIZE = 40, USER_SIZE = 1024 };

typedef struct right {
    char text[RIGHT_SIZE];
    bool is_needed; /* denied without it; else the tour goes on as before */
} right;

typedef struct page {
    char user[USER_SIZE]; /* the command that makes the user */
    right rights[RIGHTS_MOST];
    int count;
} page;

static char *document_from(const char *mark)
{
    static char text[1 << 17];
    char path[4096];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *tests = strstr(path, "/tests/live/");
    assert_non_null(tests);
    snprintf(tests, sizeof path - (size_t)(tests - path), "/docs/protocol.md");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *found = strstr(text, mark);
    assert_non_null(found);
    return found + strlen(mark);
}

/* Its words, in one line. */
static void read_user(page *self)
{
    char *rest = document_from("<!-- acl: user -->\n\n");
    size_t length = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && strncmp(line, "    ", 4) == 0;) {
        while (*line == ' ') line++;
        const char *space = length > 0 ? " " : "";
        length += (size_t)snprintf(self->user + length, USER_SIZE - length, "%s%s", space, line);
        assert_true(length < USER_SIZE);
    }
    assert_int_equal(strncmp(self->user, "ACL SETUSER locker on >secret ", 30), 0);
}

/* | `right` | denied, or "as before" | what it is for |, where a bar of a right is written "\|" */
static void read_row(right *out, const char *line)
{
    size_t length = 0;
    const char *at = strchr(line, '`');
    assert_non_null(at);
    for (at++; *at != '`'; at++)
        if (*at != '\\') out->text[length++] = *at;
    out->text[length] = '\0';
    assert_true(length < RIGHT_SIZE);
    out->is_needed = strncmp(at, "` | denied |", 12) == 0;
    if (!out->is_needed) assert_int_equal(strncmp(at, "` | as before |", 15), 0);
}

static void read_rights(page *self)
{
    char *rest = document_from("<!-- acl: without -->\n\n");
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line == '|';) {
        if (strchr(line, '`') == NULL) continue;
        assert_true(self->count < RIGHTS_MOST);
        read_row(&self->rights[self->count++], line);
    }
}

static const page *page_read(void)
{
    static page the;
    memset(&the, 0, sizeof the);
    read_user(&the);
    read_rights(&the);
    return &the;
}

/* ---- A tour of everything ---------------------------------------------------------------------*/

typedef struct tour {
    stage *stage;
    redlock_client *one, *two, *brief; /* the last one keeps no fences */
    redlock_lock *held;
} tour;

typedef redlock_status step(tour *self);

#define KEEP(...) REDLOCK_OPTIONS(.ttl_ms = LONG_MS, __VA_ARGS__)

/* What was to come, or what came instead. */
static redlock_status unless(redlock_status wanted, redlock_status status)
{
    if (status == wanted) return REDLOCK_OK;
    return status == REDLOCK_OK ? REDLOCK_ERR_PROTOCOL : status;
}

static redlock_status visit(redlock_client *client, const char *name, const redlock_options *as)
{
    redlock_lock *lock;
    redlock_status status = redlock_acquire(client, name, as, &lock);
    return status == REDLOCK_OK ? redlock_release(lock) : status;
}

static redlock_status acquires(tour *self)
{
    redlock_lock **held = &self->held;
    return redlock_acquire(self->one, "r", KEEP(0), held);
}

static bool waits_or_is_done(void *arg)
{
    void **both = arg;
    return atomic_load(&((taker *)both[1])->is_done) || stage_waiters(both[0], "r") > 0;
}

/* It came before all others, and nobody listens there. */
static void add_a_dead_waiter(tour *self)
{
    static const char member[] = "2000 redlock:inbox:dead.1 x - dead.1 host:1:dead";
    long long score = WRITER_BAND + READER_BAND;
    server_order(self->stage->server, "ZADD redlock:{r} %lld %s", score, member);
}

static redlock_status end_of(taker *waits, redlock_lock **lock)
{
    eventually(taker_is_done, waits);
    taker_join(waits);
    *lock = waits->lock;
    waits->lock = NULL;
    return waits->status;
}

static redlock_status hands_over(tour *self)
{
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_options options = *KEEP(.wait_ms = LONG_MS, .claim_ms = LONG_MS);
    options.canceller = canceller;
    taker *waits = taker_start(self->stage, self->two, "r", &options);
    eventually(waits_or_is_done, ((void *[]){self->stage, waits}));
    if (!atomic_load(&waits->is_done)) add_a_dead_waiter(self);
    redlock_status released = redlock_release(self->held);
    if (released != REDLOCK_OK) redlock_cancel(canceller);
    redlock_status status = end_of(waits, &self->held);
    redlock_canceller_close(canceller);
    return released != REDLOCK_OK ? released : status;
}

static redlock_status drops_the_dead(tour *self)
{
    return stage_waiters(self->stage, "r") == 0 ? REDLOCK_OK : REDLOCK_ERR_PROTOCOL;
}

static redlock_status extends(tour *self) { return redlock_extend(self->held, LONG_MS + 1000); }

static redlock_status converts(tour *self)
{
    redlock_status status = redlock_downgrade(self->held);
    return status == REDLOCK_OK ? redlock_upgrade(self->held) : status;
}

static redlock_status inspects(tour *self)
{
    redlock_inspection *seen = NULL;
    redlock_status status = redlock_inspect(self->one, "r", 1, &seen, NULL);
    if (status == REDLOCK_OK && seen->holders != 1) status = REDLOCK_ERR_PROTOCOL;
    redlock_inspection_free(seen);
    return status;
}

static redlock_status leaves_the_queue(tour *self)
{
    redlock_status status = unless(REDLOCK_TIMED_OUT, visit(self->one, "r", KEEP(.wait_ms = 20)));
    if (status == REDLOCK_OK) await_waiters(self->stage, "r", 0);
    return status;
}

static redlock_status forces(tour *self)
{
    size_t removed = 0;
    redlock_status status = redlock_force_release(self->one, "r", 1, &removed, NULL);
    if (status != REDLOCK_OK) return status;
    status = unless(REDLOCK_LOST, redlock_release(self->held));
    self->held = NULL;
    return removed == 1 ? status : REDLOCK_ERR_PROTOCOL;
}

static redlock_status waits_for_readers(tour *self)
{
    redlock_lock *reader;
    redlock_status status = redlock_acquire(self->one, "s", KEEP(.mode = REDLOCK_SHARED), &reader);
    if (status != REDLOCK_OK) return status;
    status = unless(REDLOCK_BUSY, visit(self->two, "s", KEEP(0)));
    redlock_status released = redlock_release(reader);
    return status == REDLOCK_OK ? released : status;
}

static redlock_status follows_the_expired(tour *self)
{
    static const char member[] = "- gone.1 host:1:gone";
    long long fence = -FENCE_BAND - 1000000;
    server_order(self->stage->server, "ZADD redlock:{e} %lld f1 1000 %s", fence, member);
    return visit(self->one, "e", KEEP(0));
}

static redlock_status keeps_no_fence(tour *self) { return visit(self->brief, "b", KEEP(0)); }

static redlock_status ask(redisContext *on, const question *from, int64_t code)
{
    command cmd;
    question_command(&cmd, from, false);
    redisReply *told = redisCommandArgv(on, cmd.argc, cmd.argv, cmd.length);
    assert_non_null(told);
    redlock_status status = REDLOCK_ERR_PROTOCOL;
    if (told->type == REDIS_REPLY_ARRAY && told->element[0]->integer == code) status = REDLOCK_OK;
    if (told->type == REDIS_REPLY_ERROR && answer_error_kind(told->str, told->len) == ANSWER_DENIED)
        status = REDLOCK_ERR_DENIED;
    freeReplyObject(told);
    return status;
}

/* What the library asks when an acquire of it may still be on its way. */
static redlock_status buries(tour *self)
{
    static const char key[] = "redlock:{d}", holder[] = "- late.1 host:1:late";
    redisContext *on = redisConnectUnix(server_socket(self->stage->server));
    freeReplyObject(redisCommand(on, "AUTH locker secret"));
    server_order(self->stage->server, "SCRIPT LOAD %s", scripts[SCRIPT_CANCEL].source);
    question undo = {.script = SCRIPT_CANCEL,
                     .key = key,
                     .key_length = sizeof key - 1,
                     .holder = holder,
                     .holder_length = sizeof holder - 1,
                     .first_ms = 5000,
                     .grace_ms = 5000,
                     .mode = "x",
                     .mode_length = 1,
                     .burial_ms = LONG_MS};
    question late = undo;
    late.script = SCRIPT_ACQUIRE;
    redlock_status status = ask(on, &undo, RELEASE_ABSENT);
    if (status == REDLOCK_OK) status = ask(on, &late, ACQUIRE_BURIED);
    redisFree(on);
    return status;
}

/* clang-format off */
static step *const steps[] = {
    acquires, hands_over, drops_the_dead, extends, converts, inspects, leaves_the_queue, forces,
    waits_for_readers, follows_the_expired, keeps_no_fence, buries,
};
/* clang-format on */

/* The first answer that is not the one that was to come, or REDLOCK_OK. */
static redlock_status go(tour *self)
{
    redlock_status status = REDLOCK_OK;
    size_t count = sizeof steps / sizeof *steps;
    for (size_t i = 0; i < count && status == REDLOCK_OK; i++) status = steps[i](self);
    return status;
}

enum { URI_SIZE = 512 };

/* A user that the command makes and then changes, on a server that knows nothing yet. */
static void make_user(stage *the, const char *user, const char *changes, char uri[URI_SIZE])
{
    char change[128];
    snprintf(uri, URI_SIZE, "unix://locker:secret@%s", server_socket(the->server));
    server_order(the->server, "FLUSHALL");
    server_order(the->server, "SCRIPT FLUSH");
    server_number(the->server, "ACL DELUSER locker");
    server_order(the->server, user);
    snprintf(change, sizeof change, "ACL SETUSER locker %s", changes);
    server_order(the->server, change);
}

static redlock_status tour_of(stage *the, const char *user, const char *changes)
{
    char uri[URI_SIZE];
    make_user(the, user, changes, uri);
    const redlock_client_options *options = REDLOCK_CLIENT_OPTIONS(LOGGED(the));
    tour self = {.stage = the, .one = stage_open(the, uri, options)};
    self.two = stage_open(the, uri, options);
    self.brief = stage_open(the, uri, REDLOCK_CLIENT_OPTIONS(LOGGED(the), .linger_ms = -1));
    redlock_status status = go(&self);
    stage_close(the, self.one);
    stage_close(the, self.two);
    stage_close(the, self.brief);
    redlock_release(self.held);
    return status;
}

/* ---- The tests --------------------------------------------------------------------------------*/

static void the_least_rights_are_enough_for_everything(void **state)
{
    EXPECT(tour_of(*state, page_read()->user, "on"), REDLOCK_OK);
}

/* How a right is taken away: keys and channels are not, one by one. */
static void taking(char out[RIGHT_SIZE + 16], const right *which)
{
    if (which->text[0] == '~') snprintf(out, RIGHT_SIZE + 16, "resetkeys");
    else if (which->text[0] == '&') snprintf(out, RIGHT_SIZE + 16, "resetchannels");
    else snprintf(out, RIGHT_SIZE + 16, "-%s", which->text + 1);
}

static void without_any_one_of_them_it_is_as_the_page_says(void **state)
{
    const page *said = page_read();
    for (int i = 0; i < said->count; i++) {
        char changes[RIGHT_SIZE + 16];
        taking(changes, &said->rights[i]);
        redlock_status status = tour_of(*state, said->user, changes);
        redlock_status wanted = said->rights[i].is_needed ? REDLOCK_ERR_DENIED : REDLOCK_OK;
        const char *text = said->rights[i].text;
        if (status != wanted) fail_msg("without %s: %s", text, redlock_status_name(status));
    }
}

/* What is logged when it connects; "" for nothing. */
static const char *warning_for(stage *the, const char *user, const char *changes)
{
    char uri[URI_SIZE];
    make_user(the, user, changes, uri);
    the->journal.last[0] = '\0';
    stage_close(the,
                stage_open(the, uri, REDLOCK_CLIENT_OPTIONS(.connect_now = true, LOGGED(the))));
    return the->journal.last;
}

static void whoever_connects_now_is_warned_of_each_right_that_is_missing(void **state)
{
    const page *said = page_read();
    assert_string_equal(warning_for(*state, said->user, "on"), "");
    for (int i = 0; i < said->count; i++) {
        char changes[RIGHT_SIZE + 16];
        const char *text = said->rights[i].text;
        taking(changes, &said->rights[i]);
        const char *told = warning_for(*state, said->user, changes);
        bool is_needless = strcmp(text, "+del") == 0;
        assert_int_equal(strstr(told, "lacks rights") == NULL, is_needless);
        /* Without these no script runs that could tell. */
        bool tells = strcmp(text, "+evalsha") != 0 && strcmp(text, "+script|load") != 0;
        if (text[0] == '+' && tells && !is_needless) assert_non_null(strstr(told, text));
    }
}

static void a_server_that_may_evict_is_warned_of(void **state)
{
    static const char evicts[] = "the server may evict locks";
    const page *said = page_read();
    stage *the = *state;
    server_order(the->server, "CONFIG SET maxmemory-policy volatile-lru");
    assert_string_equal(warning_for(the, said->user, "+info"), "");
    server_order(the->server, "CONFIG SET maxmemory 100mb");
    assert_non_null(strstr(warning_for(the, said->user, "+info"), evicts));
    assert_string_equal(warning_for(the, said->user, "on"), ""); /* who may not look */
    server_order(the->server, "CONFIG SET maxmemory-policy noeviction");
    assert_string_equal(warning_for(the, said->user, "+info"), "");
}

static int count_rights(const char *user)
{
    int count = 0;
    for (const char *at = strchr(user, ' '); at != NULL; at = strchr(at + 1, ' '))
        count += strchr("+~&", at[1]) != NULL;
    return count;
}

static void the_page_says_of_each_right_what_it_is_for(void **state)
{
    const page *said = page_read();
    (void)state;
    assert_int_equal(count_rights(said->user), said->count);
    for (int i = 0; i < said->count; i++) {
        char word[RIGHT_SIZE + 2];
        snprintf(word, sizeof word, " %s", said->rights[i].text);
        const char *found = strstr(said->user, word);
        assert_true(found != NULL && (found[strlen(word)] == ' ' || found[strlen(word)] == '\0'));
    }
}

static void eval_serves_where_script_load_is_refused(void **state)
{
    stage *the = *state;
    EXPECT(tour_of(the, page_read()->user, "-script|load +eval"), REDLOCK_OK);
    assert_true(server_calls(the->server, "eval") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(the_least_rights_are_enough_for_everything),
        ON_STAGE(without_any_one_of_them_it_is_as_the_page_says),
        ON_STAGE(whoever_connects_now_is_warned_of_each_right_that_is_missing),
        ON_STAGE(a_server_that_may_evict_is_warned_of),
        cmocka_unit_test(the_page_says_of_each_right_what_it_is_for),
        ON_STAGE(eval_serves_where_script_load_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
