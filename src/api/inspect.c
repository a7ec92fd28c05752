/* SPDX-License-Identifier: MIT
 * Who holds a lock, and who waits: the members of its key, made readable. */
#include <stddef.h>

#include "api/client.h"
#include "api/options.h"
#include "host/clock.h"
#include "wire/key.h"

enum { LISTED_PARTIES = 1000 };
/* Where an answer has what: { code, nonce, now us, fence, holders, waiters, [member, score, ...] }. */
enum { AT_NOW = 2, AT_FENCE, AT_HOLDERS, AT_WAITERS, AT_LIST, ITEMS };

/* One block: this, the parties, and the texts that they point to. */
typedef struct listing {
    memory from;
    redlock_inspection shown;
    redlock_party parties[];
} listing;

typedef struct inquiry {
    exchange asks;
    const memory *from;
    listing *made;
    redlock_status status;
} inquiry;

/* Printable: another program may have put there what it liked, and it goes to a terminal. */
static char *put_text(char **at, const char *bytes, size_t length)
{
    char *text = *at;
    for (size_t i = 0; i < length; i++) text[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '_';
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

static void add_holder(listing *self, const reply *member, int64_t score, int64_t now_us, char **texts)
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

static void add_waiter(listing *self, const reply *member, int64_t score, int64_t now_us, char **texts)
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

static void add_member(listing *self, const reply *member, int64_t score, int64_t now_us, char **texts)
{
    if (score < READER_BAND) add_holder(self, member, score, now_us, texts);
    else add_waiter(self, member, score, now_us, texts);
}

static bool is_list(const reply *from)
{
    if (from->kind != REPLY_ARRAY || from->count < ITEMS || from->items[AT_LIST].kind != REPLY_ARRAY) return false;
    const reply *list = &from->items[AT_LIST];
    bool is_whole = list->count % 2 == 0;
    for (size_t i = AT_NOW; is_whole && i < AT_LIST; i++)
        is_whole = from->items[i].kind == REPLY_INTEGER && from->items[i].integer >= 0;
    for (size_t i = 0; is_whole && i < list->count; i++)
        is_whole = list->items[i].kind == (i % 2 == 0 ? REPLY_STRING : REPLY_INTEGER);
    return is_whole;
}

static listing *allocate(const memory *from, const reply *members)
{
    size_t texts = 0;
    for (size_t i = 0; i < members->count; i += 2) texts += members->items[i].length + 3;
    size_t size = sizeof(listing) + members->count / 2 * sizeof(redlock_party) + texts;
    listing *self = memory_new(from, size);
    if (self != NULL) self->from = *from;
    return self;
}

static void read_reply(exchange *asks, const reply *from)
{
    inquiry *self = asks->owner;
    self->status = REDLOCK_ERR_PROTOCOL;
    if (self->made != NULL || !is_list(from)) return;
    const reply *members = &from->items[AT_LIST];
    self->status = REDLOCK_ERR_MEMORY;
    self->made = allocate(self->from, members);
    if (self->made == NULL) return;
    self->status = REDLOCK_OK;
    self->made->shown.fence = (uint64_t)from->items[AT_FENCE].integer;
    self->made->shown.holders = (size_t)from->items[AT_HOLDERS].integer;
    self->made->shown.waiters = (size_t)from->items[AT_WAITERS].integer;
    self->made->shown.parties = self->made->parties;
    char *texts = (char *)(self->made->parties + members->count / 2);
    for (size_t i = 0; i < members->count; i += 2)
        add_member(self->made, &members->items[i], members->items[i + 1].integer, from->items[AT_NOW].integer,
                   &texts);
}

static redlock_status inquire(redlock_client *client, inquiry *self, const void *name, size_t name_length,
                              redlock_detail *detail)
{
    size_t key_length = key_write(NULL, 0, client->key_prefix, name, name_length);
    char *key = memory_new(&client->memory, key_length);
    if (key == NULL) return REDLOCK_ERR_MEMORY;
    key_write(key, key_length, client->key_prefix, name, name_length);
    question about = {.script = SCRIPT_INSPECT, .key = key, .key_length = key_length, .first_ms = LISTED_PARTIES};
    request asked;
    self->asks.on_reply = read_reply;
    self->asks.owner = self;
    redlock_status status = client_ask_and_wait(client, &self->asks, &asked, &about, true);
    memory_free(&client->memory, key);
    if (status != REDLOCK_OK) return status;
    if (asked.status != REDLOCK_OK) detail_write(detail, asked.text);
    return asked.status != REDLOCK_OK ? asked.status : self->status;
}

static redlock_status inspect(redlock_client *client, const void *name, size_t name_length,
                              redlock_inspection **inspection, redlock_detail *detail)
{
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    if (name == NULL || name_length == 0 || name_length > KEY_NAME_MAX) return REDLOCK_ERR_NAME;
    inquiry self = {.from = &client->memory, .status = REDLOCK_ERR_PROTOCOL};
    status = inquire(client, &self, name, name_length, detail);
    if (status == REDLOCK_OK) *inspection = &self.made->shown;
    else if (self.made != NULL) redlock_inspection_free(&self.made->shown);
    return status;
}

redlock_status redlock_inspect(redlock_client *client, const void *name, size_t name_length,
                               redlock_inspection **inspection, redlock_detail *detail)
{
    if (inspection == NULL) return REDLOCK_ERR_ARGUMENT;
    *inspection = NULL;
    detail_write(detail, "");
    if (client == NULL) return REDLOCK_ERR_ARGUMENT;
    client_begin_call(client);
    redlock_status status = inspect(client, name, name_length, inspection, detail);
    client_end_call(client);
    return status;
}

void redlock_inspection_free(redlock_inspection *inspection)
{
    if (inspection == NULL) return;
    listing *self = (listing *)((char *)inspection - offsetof(listing, shown));
    memory from = self->from;
    memory_free(&from, self);
}
