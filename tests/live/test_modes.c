/* SPDX-License-Identifier: MIT
 * Shared and exclusive holds on one name: who waits for whom, and what an inspection shows of it.
 * The tables of docs/modes.md are walked cell by cell. */
#include "live/modes_stage.h"

/* ---- The tables of docs/modes.md --------------------------------------------------------------*/

enum { COLUMNS_MOST = 6, ROWS_MOST = 16, CELL_SIZE = 64 };

typedef struct table {
    int rows, columns; /* the headings not counted */
    char cell[ROWS_MOST + 1][COLUMNS_MOST + 1][CELL_SIZE];
} table;

static char *document_read(void)
{
    static char text[1 << 16];
    char path[4096];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *tests = strstr(path, "/tests/live/");
    assert_non_null(tests);
    snprintf(tests, sizeof path - (size_t)(tests - path), "/docs/modes.md");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void read_row(char cells[][CELL_SIZE], const char *line, int *columns)
{
    *columns = -1; /* what stands before the first bar is no cell */
    for (const char *at = line + 1, *bar; (bar = strchr(at, '|')) != NULL; at = bar + 1) {
        const char *end = bar;
        while (*at == ' ') at++;
        while (end > at && end[-1] == ' ') end--;
        assert_true(++*columns <= COLUMNS_MOST);
        snprintf(cells[*columns], CELL_SIZE, "%.*s", (int)(end - at), at);
    }
}

static void table_read(table *self, const char *title)
{
    char mark[CELL_SIZE];
    snprintf(mark, sizeof mark, "<!-- table: %s -->\n", title);
    char *found = strstr(document_read(), mark);
    assert_non_null(found);
    int row = 0;
    char *rest = found + strlen(mark);
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line == '|';) {
        if (strncmp(line, "|---", 4) == 0) continue;
        assert_true(row <= ROWS_MOST);
        read_row(self->cell[row++], line, &self->columns);
    }
    self->rows = row - 1;
}

/* One word of a table's edge, and what it stands for. */
typedef struct meaning {
    const char *text;
    redlock_options options;
    int holders; /* of a column */
    bool writer_waits;
} meaning;

static const meaning *look_up(const meaning *known, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].text, text) == 0) return &known[i];
    fail_msg("docs/modes.md says \"%s\", which no test knows", text);
    return NULL;
}

#define LOOK_UP(known, text) look_up(known, sizeof(known) / sizeof *(known), text)

/* ---- Strangers */

static const meaning requests[] = {
    {.text = "exclusive", .options = {.mode = REDLOCK_EXCLUSIVE}},
    {.text = "shared, reader preference", .options = {.mode = REDLOCK_SHARED}},
    {.text = "shared, fair", .options = {.mode = REDLOCK_SHARED, .policy = REDLOCK_FAIR}},
    {.text = "shared, writer preference",
     .options = {.mode = REDLOCK_SHARED, .policy = REDLOCK_PREFER_WRITERS}},
    {.text = "shared, 1 permit", .options = {.mode = REDLOCK_SHARED, .permits = 1}},
    {.text = "shared, 2 permits", .options = {.mode = REDLOCK_SHARED, .permits = 2}},
    {.text = "shared, 2 permits, fair",
     .options = {.mode = REDLOCK_SHARED, .permits = 2, .policy = REDLOCK_FAIR}},
};
static const meaning situations[] = {
    {.text = "free"},
    {.text = "exclusive holder", .holders = 1, .options = {.mode = REDLOCK_EXCLUSIVE}},
    {.text = "shared holder", .holders = 1, .options = {.mode = REDLOCK_SHARED}},
    {.text = "two shared holders", .holders = 2, .options = {.mode = REDLOCK_SHARED}},
    {.text = "shared holder, writer waiting",
     .holders = 1,
     .options = {.mode = REDLOCK_SHARED},
     .writer_waits = true},
};

static redlock_options timed(redlock_options options, int64_t wait_ms)
{
    options.struct_size = sizeof options;
    options.ttl_ms = options.claim_ms = LONG_MS;
    options.wait_ms = wait_ms;
    return options;
}

static bool either_is_done(void *arg)
{
    taker **two = arg;
    return atomic_load(&two[0]->is_done) || atomic_load(&two[1]->is_done);
}

/* Both are served, in whatever order; NULL is nobody. */
static void expect_both(taker *one, taker *two)
{
    if (one != NULL && two != NULL) eventually(either_is_done, ((taker *[]){one, two}));
    bool is_two_first = one == NULL || (two != NULL && atomic_load(&two->is_done));
    taker *order[] = {is_two_first ? two : one, is_two_first ? one : two};
    for (int i = 0; i < 2; i++) {
        if (order[i] == NULL) continue;
        expect_taker(order[i], REDLOCK_OK);
        taker_release(order[i]);
    }
}

/* What "enters" and "waits" mean: a try tells at once, and one who waits is served when the others
 * have left. */
static void expect_strangers(stage *the, const meaning *request, const meaning *there,
                             const char *cell)
{
    bool enters = strcmp(cell, "enters") == 0;
    redlock_lock *held[2] = {NULL, NULL};
    taker *writer = NULL, *waiter = NULL;
    redlock_options holder = timed(there->options, 0), asked = timed(request->options, 0);
    assert_true(enters || strcmp(cell, "waits") == 0);
    for (int i = 0; i < there->holders; i++) held[i] = take(the->client, name, &holder);
    if (there->writer_waits) writer = queued(the, the->other, 1, EXCLUSIVE(PATIENT));
    if (attempt(the->other, &asked) != (enters ? REDLOCK_OK : REDLOCK_BUSY))
        fail_msg("\"%s\" beside \"%s\" is not so: %s", request->text, there->text, cell);
    asked.wait_ms = REDLOCK_WAIT_FOREVER;
    if (!enters) waiter = queued(the, the->other, writer != NULL ? 2 : 1, &asked);
    for (int i = 0; i < there->holders; i++) EXPECT(redlock_release(held[i]), REDLOCK_OK);
    expect_both(writer, waiter);
}

static void the_table_of_strangers_is_true(void **state)
{
    static table said;
    table_read(&said, "strangers");
    assert_int_equal(said.rows, sizeof requests / sizeof *requests);
    assert_int_equal(said.columns, sizeof situations / sizeof *situations);
    for (int row = 1; row <= said.rows; row++)
        for (int column = 1; column <= said.columns; column++)
            expect_strangers(*state, LOOK_UP(requests, said.cell[row][0]),
                             LOOK_UP(situations, said.cell[0][column]), said.cell[row][column]);
}

/* ---- Who is next */

static redlock_policy policy_called(const char *text)
{
    if (strcmp(text, "reader preference") == 0) return REDLOCK_PREFER_READERS;
    if (strcmp(text, "fair") == 0) return REDLOCK_FAIR;
    assert_string_equal(text, "writer preference");
    return REDLOCK_PREFER_WRITERS;
}

/* One permit keeps the waiting reader out beside the shared holder, whatever its policy. */
static void expect_next(stage *the, redlock_policy policy, bool after_exclusive,
                        bool reader_comes_first, const char *cell)
{
    bool is_fair_turn = strcmp(cell, "who came first") == 0;
    bool is_reader = is_fair_turn ? reader_comes_first : strcmp(cell, "readers") == 0;
    assert_true(is_fair_turn || is_reader || strcmp(cell, "writer") == 0);
    const redlock_options *holder = after_exclusive ? EXCLUSIVE() : SHARED();
    redlock_lock *held = take(the->client, name, holder);
    const redlock_options *reads = SHARED(PATIENT, .policy = policy, .permits = 1);
    taker *reader = reader_comes_first ? queued(the, the->other, 1, reads) : NULL;
    taker *writer =
        queued(the, the->other, reader_comes_first ? 2 : 1, EXCLUSIVE(PATIENT, .policy = policy));
    if (!reader_comes_first) reader = queued(the, the->other, 2, reads);
    taker *next = is_reader ? reader : writer, *last = is_reader ? writer : reader;
    EXPECT(redlock_release(held), REDLOCK_OK);
    eventually(either_is_done, ((taker *[]){next, last}));
    if (!atomic_load(&next->is_done))
        fail_msg("not so: %s, policy %d, after %d", cell, policy, after_exclusive);
    expect_taker(next, REDLOCK_OK);
    assert_int_equal(stage_waiters(the, name), 1);
    assert_false(atomic_load(&last->is_done));
    taker_release(next);
    expect_taker(last, REDLOCK_OK);
    taker_release(last);
}

static void the_table_of_who_is_next_is_true(void **state)
{
    static table said;
    table_read(&said, "next");
    assert_int_equal(said.rows, 3);
    assert_int_equal(said.columns, 2);
    assert_string_equal(said.cell[0][1], "an exclusive holder left");
    assert_string_equal(said.cell[0][2], "the last shared holder left");
    for (int row = 1; row <= said.rows; row++)
        for (int column = 1; column <= said.columns; column++)
            for (int reader_comes_first = 0; reader_comes_first < 2; reader_comes_first++)
                expect_next(*state, policy_called(said.cell[row][0]), column == 1,
                            reader_comes_first == 1, said.cell[row][column]);
}

/* ---- The same owner */

static redlock_status status_of(const char *cell)
{
    if (strcmp(cell, "enters") == 0) return REDLOCK_OK;
    assert_string_equal(cell, "deadlock");
    return REDLOCK_DEADLOCK;
}

static redlock_mode mode_called(const char *text)
{
    return strncmp(text, "shared", 6) == 0 ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
}

static void expect_own(stage *the, const char *row, const char *column, const char *cell,
                       const char *owner)
{
    bool is_reentrant = strstr(row, "reentrant") != NULL;
    redlock_lock *again = NULL, *beside = NULL;
    redlock_mode holds = strstr(column, "exclusive") != NULL ? REDLOCK_EXCLUSIVE : REDLOCK_SHARED;
    redlock_lock *held = take(the->client, name,
                              EXCLUSIVE(.mode = holds, .reentrant = is_reentrant, .owner = owner));
    if (strstr(column, "with others") != NULL)
        beside = take(stage_open(the, server_uri(the->server), NULL), name, SHARED());
    redlock_client *asker = owner != NULL ? the->other : the->client;
    redlock_status status = redlock_acquire(
        asker, name,
        EXCLUSIVE(PATIENT, .mode = mode_called(row), .reentrant = is_reentrant, .owner = owner),
        &again);
    if (status != status_of(cell))
        fail_msg("\"%s\" when \"%s\": %s", row, column, redlock_status_name(status));
    if (again != NULL) EXPECT(redlock_release(again), REDLOCK_OK);
    EXPECT(redlock_release(held), REDLOCK_OK);
    EXPECT(redlock_release(beside), REDLOCK_OK);
    if (beside != NULL) stage_close(the, the->clients[2]);
}

static void walk_own(stage *the, const char *title, int rows, const char *owner)
{
    static table said;
    table_read(&said, title);
    assert_int_equal(said.rows, rows);
    assert_int_equal(said.columns, 3);
    for (int row = 1; row <= said.rows; row++)
        for (int column = 1; column <= said.columns; column++)
            expect_own(the, said.cell[row][0], said.cell[0][column], said.cell[row][column], owner);
}

static void the_table_of_one_thread_is_true(void **state) { walk_own(*state, "thread", 4, NULL); }
static void the_table_of_one_owner_elsewhere_is_true(void **state)
{
    walk_own(*state, "owner", 2, "txn-77");
}

/* ---- Readers and writers ----------------------------------------------------------------------*/

static void a_batch_of_waiting_readers_is_admitted_by_one_handover(void **state)
{
    enum { READERS = 6 };
    stage *the = *state;
    taker *readers[READERS];
    expect_free(the->client, name); /* so that the server knows the scripts */
    redlock_lock *writer = take(the->client, name, EXCLUSIVE());
    for (int i = 0; i < READERS; i++) readers[i] = queued(the, the->other, i + 1, SHARED(PATIENT));
    long long before = server_calls(the->server, "evalsha");
    EXPECT(redlock_release(writer), REDLOCK_OK);
    assert_int_equal(stage_waiters(the, name), 0);
    assert_int_equal(stage_holders(the, name), READERS);
    assert_int_equal(server_calls(the->server, "evalsha"), before + 1);
    for (int i = 0; i < READERS; i++) expect_taker(readers[i], REDLOCK_OK);
    for (int i = 0; i < READERS; i++) taker_release(readers[i]);
}

static void readers_are_renewed_each_on_its_own(void **state)
{
    stage *the = *state;
    int64_t ttl_ms = patience_outlasting_ms(300);
    redlock_lock *kept =
        take(the->client, name,
             REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = ttl_ms, .auto_renew = true));
    redlock_lock *left =
        take(the->client, name, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED, .ttl_ms = ttl_ms));
    eventually(is_unheld, left);
    assert_true(redlock_is_held(kept));
    expect_taken(the->other, name);
    EXPECT(redlock_release(left), REDLOCK_LOST);
    assert_true(redlock_is_held(kept));
    EXPECT(redlock_release(kept), REDLOCK_OK);
    EXPECT(attempt(the->other, EXCLUSIVE(PATIENT)),
           REDLOCK_OK); /* what was lost here may end a little later there */
}

static void a_readers_fence_is_not_below_the_last_writers(void **state)
{
    stage *the = *state;
    redlock_lock *writer = take(the->client, name, EXCLUSIVE());
    uint64_t written = redlock_fence(writer);
    EXPECT(redlock_release(writer), REDLOCK_OK);
    redlock_lock *one = take(the->client, name, SHARED()), *two = take(the->other, name, SHARED());
    assert_true(redlock_fence(one) >= written && redlock_fence(two) >= redlock_fence(one));
    uint64_t read = redlock_fence(two);
    EXPECT(redlock_release(one), REDLOCK_OK);
    EXPECT(redlock_release(two), REDLOCK_OK);
    writer = take(the->other, name, EXCLUSIVE());
    assert_true(redlock_fence(writer) > read);
    EXPECT(redlock_release(writer), REDLOCK_OK);
}

/* What barred the readers is gone, whoever went. */
static void readers_enter_when_the_writer_they_wait_for_gives_up(void **state)
{
    stage *the = *state;
    redlock_lock *reader = take(the->client, name, SHARED(.policy = REDLOCK_FAIR));
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    taker *writer = queued(the, the->other, 1, EXCLUSIVE(PATIENT, .canceller = canceller));
    taker *barred = queued(the, the->other, 2, SHARED(PATIENT, .policy = REDLOCK_FAIR));
    stall began = stall_begin();
    redlock_cancel(canceller);
    expect_taker(writer, REDLOCK_CANCELLED);
    expect_soon(barred, &began);
    taker_release(barred);
    EXPECT(redlock_release(reader), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

/* ---- Looking ----------------------------------------------------------------------------------*/

static void an_inspection_lists_every_mode_lease_and_waiter(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_lock *reader = take(the->client, name, SHARED(.reentrant = true, .owner = "t 7"));
    redlock_lock *limited = take(the->other, name, SHARED(.permits = 5));
    queued(the, the->other, 1, EXCLUSIVE(.wait_ms = 30000, .claim_ms = LONG_MS));
    queued(the, the->other, 2,
           SHARED(.wait_ms = 30000, .claim_ms = LONG_MS, .policy = REDLOCK_FAIR));
    queued(the, the->other, 3,
           SHARED(.wait_ms = 30000, .claim_ms = LONG_MS, .policy = REDLOCK_FAIR, .permits = 7));
    EXPECT(redlock_inspect(the->client, name, 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 2);
    assert_int_equal(seen->waiters, 3);
    assert_int_equal(seen->party_count, 5);
    int owners = 0, limits = 0, writers = 0;
    for (size_t i = 0; i < seen->party_count; i++) {
        const redlock_party *party = &seen->parties[i];
        owners += strcmp(party->owner, "t%207") == 0 && party->is_holder;
        limits += party->permits == 7 && !party->is_holder;
        writers += party->mode == REDLOCK_EXCLUSIVE && !party->is_holder;
        assert_in_range(party->is_holder ? party->lease_ms : party->waited_ms, 0, LONG_MS);
        if (party->is_holder) assert_in_range(party->lease_ms, LONG_MS / 2, LONG_MS);
    }
    assert_int_equal(owners * 100 + limits * 10 + writers, 111);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(reader), REDLOCK_OK);
    EXPECT(redlock_release(limited), REDLOCK_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(the_table_of_strangers_is_true),
        ON_STAGE(the_table_of_who_is_next_is_true),
        ON_STAGE(the_table_of_one_thread_is_true),
        ON_STAGE(the_table_of_one_owner_elsewhere_is_true),
        ON_STAGE(a_batch_of_waiting_readers_is_admitted_by_one_handover),
        ON_STAGE(readers_are_renewed_each_on_its_own),
        ON_STAGE(a_readers_fence_is_not_below_the_last_writers),
        ON_STAGE(readers_enter_when_the_writer_they_wait_for_gives_up),
        ON_STAGE(an_inspection_lists_every_mode_lease_and_waiter),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
