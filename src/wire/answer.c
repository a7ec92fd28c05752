/* SPDX-License-Identifier: MIT
 * A reply judged: what it means for the request that asked. The rule: nothing that a server sent is
 * taken for granted, and what is not recognised is an error, never a "no". Pure. */
#include "wire/answer.h"

#include <stdbool.h>
#include <string.h>

#include "wire/decimal.h"
#include "wire/identity.h"
#include "wire/text.h"

typedef struct error_code {
    const char *text;
    enum answer_kind kind;
} error_code;

/* What an error may begin with, inside a script's error too. Servers say "The user ..." and
 * "ERR invalid password" (Redis 5) where they have no code for it. */
static const error_code codes[] = {
    {"WRONGTYPE", ANSWER_WRONG_TYPE},
    {"LOADING", ANSWER_TRANSIENT},
    {"BUSY", ANSWER_TRANSIENT},
    {"READONLY", ANSWER_MISPLACED},
    {"MASTERDOWN", ANSWER_MISPLACED},
    {"UNBLOCKED", ANSWER_MISPLACED},
    {"CLUSTERDOWN", ANSWER_TRANSIENT},
    {"TRYAGAIN", ANSWER_TRANSIENT},
    {"MISCONF", ANSWER_TRANSIENT},
    {"OOM", ANSWER_TRANSIENT},
    {"NOREPLICAS", ANSWER_TRANSIENT},
    {"NOAUTH", ANSWER_DENIED},
    {"WRONGPASS", ANSWER_DENIED},
    {"NOPERM", ANSWER_DENIED},
    {"DENIED", ANSWER_DENIED}, /* protected mode */
    {"The user executing the script", ANSWER_DENIED},
};

/* What is said to a request as a whole, never by a command inside a script. */
static const error_code outer_codes[] = {
    {"NOSCRIPT", ANSWER_UNKNOWN_SCRIPT},
    {"MOVED", ANSWER_REDIRECT},
    {"ASK", ANSWER_REDIRECT},
    {"ERR invalid password", ANSWER_DENIED},
    {"ERR The user executing the script", ANSWER_DENIED},
    {"ERR ACL failure in script:", ANSWER_DENIED}, /* Valkey, and Redis from 7.2 on */
    {"CROSSSLOT", ANSWER_UNSUPPORTED},
};

/* Anywhere in an error that has no code of its own, in small letters: no patience helps. The words
 * of Redis and Valkey first, then those of other servers and of proxies. */
static const char *const hopeless_words[] = {
    "unknown command", "unknown subcommand", "unknown redis command", "wrong number of arg",
    "syntax error",    "not allowed",        "running script",        "compiling script",
    "user_script:",    "unsupported",        "not supported",         "not available",
    "not permitted",   "disabled",           "invalid request",
};

static bool begins_with_word(const char *text, size_t length, const char *start)
{
    size_t size = strlen(start);

    if (length < size || memcmp(text, start, size) != 0) return false;
    return length == size || text[size] == ' ';
}

/* ANSWER_ERROR when none of the table fits. */
static enum answer_kind look_up(const error_code *table, size_t count, const char *text,
                                size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (begins_with_word(text, length, table[i].text)) return table[i].kind;
    }
    return ANSWER_ERROR;
}

static enum answer_kind look_up_code(const char *text, size_t length)
{
    return look_up(codes, sizeof codes / sizeof *codes, text, length);
}

/* Could an inner error begin here? Up to Redis 6 a script's error is a chain of places and then the
 * error, "ERR Error running script (call to f_...): @user_script:1: -OOM command not allowed", in
 * which some errors have their '-' and some do not. */
static bool is_inner_start(const char *text, size_t at)
{
    if (text[at - 1] == '-') return text[at - 2] == ' ';
    return text[at - 1] == ' ' && text[at - 2] == ':';
}

static enum answer_kind inner_kind(const char *text, size_t length)
{
    for (size_t at = 2; at < length; at++) {
        if (!is_inner_start(text, at)) continue;

        enum answer_kind kind = look_up_code(text + at, length - at);

        if (kind != ANSWER_ERROR) return kind;
    }
    return ANSWER_ERROR;
}

static char small(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static bool has_words_at(const char *text, size_t left, const char *words)
{
    for (; *words != '\0'; words++, text++, left--)
        if (left == 0 || small(*text) != *words) return false;
    return true;
}

static bool is_hopeless(const char *text, size_t length)
{
    enum { WORDS = sizeof hopeless_words / sizeof *hopeless_words };

    for (size_t at = 0; at < length; at++) {
        for (size_t i = 0; i < WORDS; i++) {
            if (has_words_at(text + at, length - at, hopeless_words[i])) return true;
        }
    }
    return false;
}

enum answer_kind answer_error_kind(const char *text, size_t length)
{
    enum answer_kind kind =
        look_up(outer_codes, sizeof outer_codes / sizeof *outer_codes, text, length);

    if (kind == ANSWER_ERROR) kind = look_up_code(text, length);
    if (kind == ANSWER_ERROR && begins_with_word(text, length, "ERR"))
        kind = inner_kind(text, length);
    if (kind == ANSWER_ERROR && is_hopeless(text, length)) kind = ANSWER_UNSUPPORTED;
    return kind;
}

_Bool answer_may_pass(enum answer_kind kind)
{
    return kind == ANSWER_TRANSIENT || kind == ANSWER_MISPLACED || kind == ANSWER_ERROR;
}

static bool is_integer(const reply *from, size_t at)
{
    return at < from->count && from->items[at].kind == REPLY_INTEGER;
}

static void read_integers(answer *out, const reply *from)
{
    if (!is_integer(from, 0) || !is_integer(from, 1) || !is_integer(from, 2)) return;
    out->kind = ANSWER_CODE;
    out->code = from->items[0].integer;
    out->nonce = from->items[1].integer;
    out->server_us = from->items[2].integer;
    for (size_t i = 0; i < ANSWER_VALUES && is_integer(from, i + 3); i++) {
        out->value[i] = from->items[i + 3].integer;
    }
}

void answer_read(answer *out, const reply *from)
{
    *out = (answer){.kind = ANSWER_MALFORMED};
    if (from->kind == REPLY_ARRAY) {
        read_integers(out, from);
    } else if (from->kind == REPLY_ERROR) {
        out->kind = answer_error_kind(from->text, from->length);
        text_escape(out->text, sizeof out->text, from->text, from->length);
    }
}

void answer_to(answer *out, const reply *from, int64_t nonce)
{
    *out = (answer){.kind = ANSWER_CUT};
    if (from != NULL) answer_read(out, from);
    if (out->kind == ANSWER_CODE && out->nonce != nonce) out->kind = ANSWER_MALFORMED;
}

_Bool standing_read(standing *out, const int64_t value[ANSWER_VALUES])
{
    bool is_one = value[0] > 0 && value[0] <= FENCE_MOST && (value[1] == 1 || value[1] == 2) &&
                  value[2] > 0 && value[2] <= SPAN_MOST;

    if (!is_one) return false;
    *out = (standing){.fence = (uint64_t)value[0],
                      .kind = value[1] == 1 ? KIND_EXCLUSIVE : KIND_SHARED,
                      .lease_ms = value[2]};
    return true;
}

typedef struct rest {
    const char *at;
    size_t left;
} rest;

/* Takes what stands before the next space, or before the end, off the front together with that
 * space. */
static size_t take_word(rest *from, const char **word)
{
    const char *space = from->left > 0 ? memchr(from->at, ' ', from->left) : NULL;
    size_t length = space == NULL ? from->left : (size_t)(space - from->at);
    size_t taken = space == NULL ? length : length + 1;

    *word = from->at;
    from->at += taken;
    from->left -= taken;
    return length;
}

static bool take_number(rest *from, uint64_t *number, uint64_t max)
{
    const char *word;
    size_t length = take_word(from, &word);

    return decimal_read(number, word, length, max);
}

/* One field of a member: printable, so that it may be shown. */
static bool is_field(const char *word, size_t length, size_t most)
{
    if (length == 0 || length > most) return false;
    for (size_t i = 0; i < length; i++) {
        if (word[i] <= ' ' || word[i] > '~') return false;
    }
    return true;
}

/* The holder's three fields, and the space behind them. */
static bool take_granted(rest *from, grant *out)
{
    const char *owner, *who;
    size_t owner_length = take_word(from, &owner);

    if (!is_field(owner, owner_length, OWNER_FIELD_SIZE - 1) ||
        (owner[0] != '-' && owner[0] != '@'))
        return false;
    out->hold_id_length = take_word(from, &out->hold_id);
    if (!is_field(out->hold_id, out->hold_id_length, HOLD_ID_SIZE - 1)) return false;
    size_t who_length = take_word(from, &who);

    out->holder = owner;
    out->holder_length = (size_t)(who + who_length - owner);
    return who_length > 0 && who_length < WHO_SIZE;
}

_Bool grant_read(grant *out, const char *payload, size_t length)
{
    rest from = {payload, length};
    const char *verb;
    uint64_t lease_ms, server_us;

    *out = (grant){0};
    if (take_word(&from, &verb) != 5 || memcmp(verb, "grant", 5) != 0) return false;
    if (!take_number(&from, &out->fence, FENCE_MOST) || out->fence == 0) return false;
    if (!take_number(&from, &lease_ms, SPAN_MOST) || lease_ms == 0) return false;
    if (!take_number(&from, &server_us, NUMBER_MOST) || server_us == 0) return false;
    if (!take_granted(&from, out) || from.left == 0) return false;
    out->lease_ms = (int64_t)lease_ms;
    out->server_us = (int64_t)server_us;
    out->key = from.at;
    out->key_length = from.left;
    return true;
}
