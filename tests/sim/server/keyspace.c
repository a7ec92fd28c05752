/* SPDX-License-Identifier: MIT
 * The commands of the keyspace. Rule: an error changes nothing, and says what Redis 7 says. */
#include "sim/server/keyspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Keys ------------------------------------------------------------------------------------ */

/* A key has one of so many places, from its hash on: it is found without an index, of which a set
 * that is forgotten would have to be taken out. */
enum { WINDOW = ROOM(KEYS_MOST, 32) };

static uint32_t first_place(words key)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */
    for (size_t i = 0; i < key.length; i++)
        hash = (hash ^ (unsigned char)key.at[i]) * UINT32_C(16777619);
    return hash;
}

static sorted_set *set_at(keyspace *self, uint32_t place) { return &self->sets[place % KEYS_MOST]; }

void keyspace_empty(keyspace *self)
{
    for (int i = 0; i < KEYS_MOST; i++) sorted_forget(&self->sets[i]);
}

/* The millisecond that a key expires in still sees it. */
static bool is_over(const keyspace *self, const sorted_set *set)
{
    return set->expires_ms != 0 && self->time_us / 1000 > set->expires_ms;
}

static sorted_set *find(keyspace *self, words key)
{
    uint32_t first = first_place(key);
    for (uint32_t i = 0; i < WINDOW; i++) {
        sorted_set *set = set_at(self, first + i);
        if (set->key_length != key.length || memcmp(set->key, key.at, key.length) != 0) continue;
        if (!is_over(self, set)) return set;
        sorted_forget(set);
        return NULL;
    }
    return NULL;
}

const sorted_set *keyspace_find(keyspace *self, words key) { return find(self, key); }

static sorted_set *create(keyspace *self, words key)
{
    if (key.length == 0 || key.length > KEY_SIZE) return NULL;
    uint32_t first = first_place(key);
    for (uint32_t i = 0; i < WINDOW; i++) {
        sorted_set *set = set_at(self, first + i);
        if (set->key_length != 0 && !is_over(self, set)) continue;
        sorted_forget(set);
        set->key_length = key.length;
        memcpy(set->key, key.at, key.length);
        return set;
    }
    return NULL;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void say_integer(outcome *out, int64_t integer)
{
    out->kind = OUTCOME_INTEGER;
    out->integer = integer;
}

static void say_error(outcome *out, const char *text)
{
    out->kind = OUTCOME_ERROR;
    out->text = (words){text, strlen(text)};
}

static words score_text(outcome *out, double score)
{
    char *at = out->scratch + out->scratch_used;
    int length = snprintf(at, 26, "%.17g", score);
    out->scratch_used += (size_t)length + 1;
    return (words){at, (size_t)length};
}

static void add_item(outcome *out, words item) { out->items[out->count++] = item; }

static void add_member_item(outcome *out, const member *at, bool with_score)
{
    add_item(out, (words){at->bytes, at->length});
    if (with_score) add_item(out, score_text(out, at->score));
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static bool is_word(words given, const char *word)
{
    return given.length == strlen(word) && strncasecmp(given.at, word, given.length) == 0;
}

static bool read_integer(words from, int64_t *out)
{
    char text[24];
    if (from.length == 0 || from.length >= sizeof text) return false;
    memcpy(text, from.at, from.length);
    text[from.length] = '\0';
    const char *digits = text[0] == '-' ? text + 1 : text;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || digits[count] != '\0' || (digits[0] == '0' && (count > 1 || digits != text)))
        return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

/* What strtod reads whole: an empty word is 0. */
static bool read_loosely(words from, double *out)
{
    char text[48], *end;
    if (from.length >= sizeof text) return false;
    memcpy(text, from.at, from.length);
    text[from.length] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && !isnan(*out);
}

/* A small set keeps whole scores as integers, so that -0 is 0. */
static bool read_score(words from, double *out)
{
    bool is_score = from.length > 0 && from.at[0] != ' ' && read_loosely(from, out);
    if (is_score) *out += 0.0;
    return is_score;
}

static bool read_bound(words from, double *value, bool *is_open)
{
    *is_open = from.length > 0 && from.at[0] == '(';
    if (*is_open) from = (words){from.at + 1, from.length - 1};
    return read_loosely(from, value);
}

static bool read_bounds(outcome *out, words least, words most, bounds *range)
{
    if (read_bound(least, &range->least, &range->is_open_below) &&
        read_bound(most, &range->most, &range->is_open_above))
        return true;
    say_error(out, "ERR min or max is not a float");
    return false;
}

static bool read_integers(outcome *out, words a, int64_t *first, words b, int64_t *second)
{
    if (read_integer(a, first) && read_integer(b, second)) return true;
    say_error(out, "ERR value is not an integer or out of range");
    return false;
}

/* ---- Commands -------------------------------------------------------------------------------- */

typedef struct conditions {
    bool only_new, only_old, only_lower, only_higher, counts_changes;
} conditions;

/* Returns where the scores begin. */
static int read_conditions(int argc, const words *argv, conditions *out)
{
    *out = (conditions){false};
    int at = 2;
    for (; at < argc; at++) {
        if (is_word(argv[at], "NX")) out->only_new = true;
        else if (is_word(argv[at], "XX")) out->only_old = true;
        else if (is_word(argv[at], "LT")) out->only_lower = true;
        else if (is_word(argv[at], "GT")) out->only_higher = true;
        else if (is_word(argv[at], "CH")) out->counts_changes = true;
        else break;
    }
    return at;
}

/* Why they cannot be given together, or NULL. */
static const char *clash(const conditions *how)
{
    if (how->only_new && how->only_old)
        return "ERR XX and NX options at the same time are not compatible";
    if (how->only_new + how->only_lower + how->only_higher > 1)
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    return NULL;
}

static bool moves(const conditions *how, double from, double to)
{
    if (how->only_new || (to <= from && to >= from)) return false;
    return (!how->only_lower || to < from) && (!how->only_higher || to > from);
}

static bool are_scores(outcome *out, int count, const words *from)
{
    double score;
    for (int i = 0; i < count; i += 2) {
        if (read_score(from[i], &score)) continue;
        say_error(out, "ERR value is not a valid float");
        return false;
    }
    return true;
}

/* 1 if it was added, or moved and that counts; -1 when there is no room. */
static int add_or_move(sorted_set *set, const conditions *how, words name, double score)
{
    int rank = sorted_rank(set, name);
    if (rank < 0) return how->only_old ? 0 : set != NULL && sorted_add(set, name, score) ? 1 : -1;
    if (!moves(how, sorted_member(set, rank)->score, score)) return 0;
    sorted_move(set, rank, score);
    return how->counts_changes;
}

static void zadd(keyspace *self, outcome *out, int argc, const words *argv)
{
    conditions how;
    double score;
    int first = read_conditions(argc, argv, &how);
    if (argc == first || (argc - first) % 2 != 0) {
        say_error(out, "ERR syntax error");
        return;
    }
    const char *refused = clash(&how);
    if (refused != NULL) {
        say_error(out, refused);
        return;
    }
    if (!are_scores(out, argc - first, argv + first)) return;
    sorted_set *set = find(self, argv[1]);
    if (set == NULL && !how.only_old) set = create(self, argv[1]);
    int64_t count = 0;
    for (int i = first; i < argc; i += 2) {
        (void)read_score(argv[i], &score);
        int done = add_or_move(set, &how, argv[i + 1], score);
        if (done < 0) {
            say_error(out, "ERR the simulator's keyspace is full");
            return;
        }
        count += done;
    }
    say_integer(out, count);
}

static void zrem(keyspace *self, outcome *out, int argc, const words *argv)
{
    int64_t removed = 0;
    for (int i = 2; i < argc; i++) {
        sorted_set *set = find(self, argv[1]);
        int rank = sorted_rank(set, argv[i]);
        if (rank < 0) continue;
        sorted_remove(set, rank, 1);
        removed++;
    }
    say_integer(out, removed);
}

static void zcard(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    const sorted_set *set = find(self, argv[1]);
    say_integer(out, set == NULL ? 0 : set->count);
}

static void zcount(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    bounds range;
    int first;
    if (read_bounds(out, argv[2], argv[3], &range))
        say_integer(out, sorted_within(find(self, argv[1]), &range, &first));
}

static void zscore(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    const sorted_set *set = find(self, argv[1]);
    int rank = sorted_rank(set, argv[2]);
    out->kind = rank < 0 ? OUTCOME_NIL : OUTCOME_BULK;
    if (rank >= 0) out->text = score_text(out, sorted_member(set, rank)->score);
}

static void zrank(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    int rank = sorted_rank(find(self, argv[1]), argv[2]);
    if (rank < 0) out->kind = OUTCOME_NIL;
    else say_integer(out, rank);
}

static void zrange(keyspace *self, outcome *out, int argc, const words *argv)
{
    int64_t start, stop;
    int first;
    bool with_scores = argc == 5 && is_word(argv[4], "WITHSCORES");
    if (argc > 4 && !with_scores) {
        say_error(out, "ERR syntax error");
        return;
    }
    if (!read_integers(out, argv[2], &start, argv[3], &stop)) return;
    const sorted_set *set = find(self, argv[1]);
    int count = sorted_between(set, start, stop, &first);
    out->kind = OUTCOME_ARRAY;
    for (int i = 0; i < count; i++)
        add_member_item(out, sorted_member(set, first + i), with_scores);
}

typedef struct selection {
    bool with_scores;
    int64_t offset, limit; /* limit below 0: all */
} selection;

static bool read_selection(outcome *out, int argc, const words *argv, selection *how)
{
    *how = (selection){.limit = -1};
    for (int i = 4; i < argc;) {
        if (is_word(argv[i], "WITHSCORES")) {
            how->with_scores = true;
            i++;
        } else if (is_word(argv[i], "LIMIT") && i + 2 < argc) {
            if (!read_integers(out, argv[i + 1], &how->offset, argv[i + 2], &how->limit))
                return false;
            i += 3;
        } else {
            say_error(out, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static void range_by_score(keyspace *self, outcome *out, int argc, const words *argv,
                           bool is_reverse)
{
    bounds range;
    selection how;
    int first;
    if (!read_selection(out, argc, argv, &how)) return;
    if (!read_bounds(out, argv[is_reverse ? 3 : 2], argv[is_reverse ? 2 : 3], &range)) return;
    const sorted_set *set = find(self, argv[1]);
    int count = sorted_within(set, &range, &first);
    out->kind = OUTCOME_ARRAY;
    if (how.offset < 0) return;
    for (int64_t i = how.offset; i < count && how.limit != 0; i++, how.limit--) {
        int64_t rank = is_reverse ? first + count - 1 - i : first + i;
        add_member_item(out, sorted_member(set, (int)rank), how.with_scores);
    }
}

static void zrangebyscore(keyspace *self, outcome *out, int argc, const words *argv)
{
    range_by_score(self, out, argc, argv, false);
}

static void zrevrangebyscore(keyspace *self, outcome *out, int argc, const words *argv)
{
    range_by_score(self, out, argc, argv, true);
}

static void zremrangebyrank(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    int64_t start, stop;
    int first;
    if (!read_integers(out, argv[2], &start, argv[3], &stop)) return;
    sorted_set *set = find(self, argv[1]);
    int count = sorted_between(set, start, stop, &first);
    if (count > 0) sorted_remove(set, first, count);
    say_integer(out, count);
}

static void zremrangebyscore(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    bounds range;
    int first;
    if (!read_bounds(out, argv[2], argv[3], &range)) return;
    sorted_set *set = find(self, argv[1]);
    int count = sorted_within(set, &range, &first);
    if (count > 0) sorted_remove(set, first, count);
    say_integer(out, count);
}

static void del(keyspace *self, outcome *out, int argc, const words *argv)
{
    int64_t removed = 0;
    for (int i = 1; i < argc; i++) {
        sorted_set *set = find(self, argv[i]);
        if (set == NULL) continue;
        sorted_forget(set);
        removed++;
    }
    say_integer(out, removed);
}

static void pexpire(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    int64_t ms;
    if (!read_integer(argv[2], &ms)) {
        say_error(out, "ERR value is not an integer or out of range");
        return;
    }
    sorted_set *set = find(self, argv[1]);
    if (set != NULL) set->expires_ms = self->time_us / 1000 + ms;
    if (set != NULL && ms <= 0) sorted_forget(set);
    say_integer(out, set != NULL);
}

static void pttl(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    const sorted_set *set = find(self, argv[1]);
    if (set == NULL) say_integer(out, -2);
    else say_integer(out, set->expires_ms == 0 ? -1 : set->expires_ms - self->time_us / 1000);
}

static void time_of(keyspace *self, outcome *out, int argc, const words *argv)
{
    (void)argc;
    (void)argv;
    out->kind = OUTCOME_ARRAY;
    int seconds = snprintf(out->scratch, 24, "%lld", (long long)(self->time_us / 1000000));
    int micros = snprintf(out->scratch + 24, 24, "%lld", (long long)(self->time_us % 1000000));
    add_item(out, (words){out->scratch, (size_t)seconds});
    add_item(out, (words){out->scratch + 24, (size_t)micros});
}

static const struct command {
    const char *name;
    int least, most; /* words, the name counted; most 0: any number */
    int flags;
    void (*run)(keyspace *self, outcome *out, int argc, const words *argv);
} commands[] = {
    {"ZADD", 4, 0, COMMAND_WRITES | COMMAND_GROWS, zadd},
    {"ZREM", 3, 0, COMMAND_WRITES, zrem},
    {"ZCARD", 2, 2, 0, zcard},
    {"ZCOUNT", 4, 4, 0, zcount},
    {"ZSCORE", 3, 3, 0, zscore},
    {"ZRANK", 3, 3, 0, zrank},
    {"ZRANGE", 4, 0, 0, zrange},
    {"ZRANGEBYSCORE", 4, 0, 0, zrangebyscore},
    {"ZREVRANGEBYSCORE", 4, 0, 0, zrevrangebyscore},
    {"ZREMRANGEBYRANK", 4, 4, COMMAND_WRITES, zremrangebyrank},
    {"ZREMRANGEBYSCORE", 4, 4, COMMAND_WRITES, zremrangebyscore},
    {"DEL", 2, 0, COMMAND_WRITES, del},
    {"PEXPIRE", 3, 3, COMMAND_WRITES, pexpire},
    {"PTTL", 2, 2, 0, pttl},
    {"TIME", 1, 1, 0, time_of},
};

static const struct command *command_named(words name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (is_word(name, commands[i].name)) return &commands[i];
    return NULL;
}

int keyspace_flags(words name)
{
    const struct command *found = command_named(name);
    return found == NULL ? -1 : found->flags;
}

void keyspace_run(keyspace *self, outcome *out, int argc, const words *argv)
{
    const struct command *found = command_named(argv[0]);
    out->count = out->scratch_used = 0;
    if (found == NULL) say_error(out, "ERR unknown command");
    else if (argc < found->least || (found->most != 0 && argc > found->most))
        say_error(out, "ERR wrong number of arguments");
    else found->run(self, out, argc, argv);
}
