/* SPDX-License-Identifier: MIT
 * Who holds a lock, and who waits: the members of its key, made readable. */
#include <stddef.h>

#include "api/act.h"

enum { LISTED_PARTIES = 1000 };
/* Where an answer has what: { code, nonce, now us, fence, holders, waiters, [member, score, ...]
 * }. */
enum { AT_NOW = 2, AT_FENCE, AT_HOLDERS, AT_WAITERS, AT_LIST, ITEMS };

/* One block: this, the parties, and the texts that they point to. */
typedef struct listing {
    memory from;
    redlock_inspection shown;
    redlock_party parties[];
} listing;

/* Printable: another program may have put there what it liked, and it goes to a terminal. */
static char *put_text(char **at, const char *bytes, size_t length)
{
    char *text = *at;
    for (size_t i = 0; i < length; i++)
        text[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '_';
    text[length] = '\0';
    *at += length + 1;
    return text;
}

static void fill_party(redlock_party *party, const member_parts *parts, char **texts)
{
    party->hold_id = put_text(texts, parts->hold_id, parts->hold_id_length);
    party->who = put_text(texts, parts->who, parts->who_length);
    party->owner = put_text(texts, parts->owner, parts->owner_length);
    party->permits = parts->mode.permits;
}

static void add_holder(listing *self, const reply *member, int64_t score, int64_t now_us,
                       char **texts)
{
    member_parts parts;
    int64_t now_ms = now_us / 1000;
    bool is_shared = score >= SHARED_BAND;
    if (is_shared) score -= SHARED_BAND;
    if (score <= now_ms || !holder_read(&parts, member->text, member->length)) return;
    redlock_party *party = &self->parties[self->shown.party_count++];
    *party = (redlock_party){.is_holder = true, .lease_ms = score - now_ms};
    party->mode = is_shared ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
    fill_party(party, &parts, texts);
}

static void add_waiter(listing *self, const reply *member, int64_t score, int64_t now_us,
                       char **texts)
{
    member_parts parts;
    bool is_shared = score < WRITER_BAND;
    if (!is_shared) score -= WRITER_BAND;
    if (!waiter_read(&parts, member->text, member->length)) return;
    redlock_party *party = &self->parties[self->shown.party_count++];
    *party = (redlock_party){.waited_ms = now_us > score ? (now_us - score) / 1000 : 0};
    party->mode = is_shared ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
    fill_party(party, &parts, texts);
}

static void add_member(listing *self, const reply *member, int64_t score, int64_t now_us,
                       char **texts)
{
    if (score < READER_BAND) add_holder(self, member, score, now_us, texts);
    else add_waiter(self, member, score, now_us, texts);
}

static bool is_list(const reply *from)
{
    if (from->kind != REPLY_ARRAY || from->count < ITEMS ||
        from->items[AT_LIST].kind != REPLY_ARRAY)
        return false;
    const reply *list = &from->items[AT_LIST];
    bool is_whole = list->count % 2 == 0;
    for (size_t i = AT_NOW; is_whole && i < AT_LIST; i++)
        is_whole = from->items[i].kind == REPLY_INTEGER && from->items[i].integer >= 0;
    for (size_t i = 0; is_whole && i < list->count; i++)
        is_whole = list->items[i].kind == (i % 2 == 0 ? REPLY_STRING : REPLY_INTEGER);
    return is_whole;
}

static listing *new_listing(const memory *from, const reply *members)
{
    size_t texts = 0;
    for (size_t i = 0; i < members->count; i += 2) texts += members->items[i].length + 3;
    size_t size = sizeof(listing) + members->count / 2 * sizeof(redlock_party) + texts;
    listing *self = memory_new(from, size);
    if (self != NULL) self->from = *from;
    return self;
}

static void read_reply(act *self, const reply *from)
{
    self->status = REDLOCK_ERR_PROTOCOL;
    if (self->made != NULL || !is_list(from)) return;
    const reply *members = &from->items[AT_LIST];
    listing *made = new_listing(&self->client->memory, members);
    self->status = made == NULL ? REDLOCK_ERR_MEMORY : REDLOCK_OK;
    if (made == NULL) return;
    self->made = made;
    made->shown.fence = (uint64_t)from->items[AT_FENCE].integer;
    made->shown.holders = (size_t)from->items[AT_HOLDERS].integer;
    made->shown.waiters = (size_t)from->items[AT_WAITERS].integer;
    made->shown.parties = made->parties;
    char *texts = (char *)(made->parties + members->count / 2);
    for (size_t i = 0; i < members->count; i += 2)
        add_member(made, &members->items[i], members->items[i + 1].integer,
                   from->items[AT_NOW].integer, &texts);
}

static bool inspection_is_asked(act *self, question *about)
{
    *about = (question){.script = SCRIPT_INSPECT,
                        .key = self->key,
                        .key_length = self->key_length,
                        .first_ms = LISTED_PARTIES};
    return true;
}

/* Its reply was read already. */
static bool inspection_is_judged(act *self, const answer *from)
{
    (void)self;
    (void)from;
    return false;
}

static redlock_status end_inspection(act *self, redlock_status status)
{
    if (status != REDLOCK_OK && self->made != NULL) redlock_inspection_free(&self->made->shown);
    if (status != REDLOCK_OK) self->made = NULL;
    return status;
}

const act_kind act_inspect = {.begin = inspection_is_asked,
                              .judge = inspection_is_judged,
                              .end = end_inspection,
                              .read = read_reply};

redlock_inspection *act_inspection(const act *self)
{
    return self->made == NULL ? NULL : &self->made->shown;
}

redlock_status redlock_inspect(redlock_client *client, const void *name, size_t name_length,
                               redlock_inspection **inspection, redlock_detail *detail)
{
    act self;
    if (inspection == NULL) return REDLOCK_ERR_ARGUMENT;
    *inspection = NULL;
    redlock_status status =
        act_wait_about_name(&self, &act_inspect, client, name, name_length, detail);
    if (status == REDLOCK_OK) *inspection = act_inspection(&self);
    return status;
}

void redlock_inspection_free(redlock_inspection *inspection)
{
    if (inspection == NULL) return;
    listing *self = (listing *)((char *)inspection - offsetof(listing, shown));
    memory from = self->from;
    memory_free(&from, self);
}
