/* SPDX-License-Identifier: MIT
 * RESP by hiredis, within our limits: replies are trees of `struct reply` in memory that is used
 * again for each reply. Owns no socket. */
#include "net/codec.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <stdalign.h>
#include <string.h>

bool codec_write(outbox *out, const memory *from, const command *cmd)
{
    char *bytes = NULL;
    long long length =
        redisFormatCommandArgv(&bytes, cmd->argc, (const char **)cmd->argv, cmd->length);
    if (length < 0) return false;

    bool is_added = outbox_add(out, from, bytes, (size_t)length);
    if (out->is_secret) memory_wipe(bytes, (size_t)length);
    redisFreeCommand(bytes);
    return is_added;
}

/* ---- The memory of a reply -------------------------------------------------------------------- *
 *
 *     first                current
 *     [ 4 KiB, kept ] ---> [ larger ] ---> ...      freed when the next reply begins
 *
 * Blocks never move, so that nodes can point to each other; an ordinary reply fits the first
 * chunk. */

typedef struct reader_chunk reader_chunk;
struct reader_chunk {
    reader_chunk *next;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

enum { CHUNK_SIZE = 4096 - (int)sizeof(reader_chunk) };

struct codec_reader {
    memory from;
    redisReader *parser;
    reader_chunk *first, *current;
    size_t unfinished;    /* bytes that were fed and belong to no finished reply */
    size_t elements;      /* of all arrays of the reply in hand, together, ... */
    size_t elements_most; /* ... of so many */
    bool is_between;      /* the next byte begins a reply */
    bool is_refused;
    bool lacks_memory; /* that is why */
};

static reader_chunk *reader_chunk_new(const memory *from, size_t size)
{
    reader_chunk *self = memory_new(from, sizeof(reader_chunk) + size);
    if (self != NULL) self->size = size;
    return self;
}

static void free_chunks(codec_reader *reader, reader_chunk *from)
{
    while (from != NULL) {
        reader_chunk *next = from->next;
        memory_free(&reader->from, from);
        from = next;
    }
}

static void begin_reply(codec_reader *reader)
{
    free_chunks(reader, reader->first->next);
    reader->first->next = NULL;
    reader->first->used = 0;
    reader->current = reader->first;
    reader->elements = 0;
    reader->is_between = false;
}

static bool add_chunk(codec_reader *reader, size_t size)
{
    reader_chunk *added = reader_chunk_new(&reader->from, size > CHUNK_SIZE ? size : CHUNK_SIZE);
    if (added == NULL) return false;
    reader->current->next = added;
    reader->current = added;
    return true;
}

/* Bytes that live until the next reply begins; NULL when out of memory. */
static void *take_room(codec_reader *reader, size_t size)
{
    enum { ALIGNMENT = alignof(reply) };
    if (size > SIZE_MAX / 2) return NULL;
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (reader->current->size - reader->current->used < rounded && !add_chunk(reader, rounded)) {
        reader->lacks_memory = true;
        return NULL;
    }
    void *taken = reader->current->bytes + reader->current->used;
    reader->current->used += rounded;
    return taken;
}

/* ---- hiredis's builders ----------------------------------------------------------------------- *
 *
 * A task's parent is an array that we built, whose items exist already: the item's place follows
 * from its index. NULL from a builder makes hiredis refuse the stream for good. */

static reply *place_node(const redisReadTask *task, enum reply_kind kind)
{
    codec_reader *reader = task->privdata;
    reply *made;
    if (task->parent == NULL) {
        made = take_room(reader, sizeof *made);
    } else {
        const reply *parent = task->parent->obj;
        made = (reply *)parent->items + task->idx;
    }
    if (made != NULL) *made = (reply){.kind = kind};
    return made;
}

static void *build_string(const redisReadTask *task, char *bytes, size_t length)
{
    enum reply_kind kind;
    switch (task->type) {
    case REDIS_REPLY_STRING: kind = REPLY_STRING; break;
    case REDIS_REPLY_STATUS: kind = REPLY_STATUS; break;
    case REDIS_REPLY_ERROR: kind = REPLY_ERROR; break;
    default: return NULL; /* of RESP3, which was not asked for */
    }
    reply *made = place_node(task, kind);
    char *text = take_room(task->privdata, length + 1);
    if (made == NULL || text == NULL) return NULL;
    memcpy(text, bytes, length);
    text[length] = '\0';
    made->text = text;
    made->length = length;
    return made;
}

static size_t depth(const redisReadTask *task)
{
    size_t arrays = 0;
    for (; task != NULL; task = task->parent) arrays++;
    return arrays;
}

static void *build_items(const redisReadTask *task, size_t count)
{
    codec_reader *reader = task->privdata;
    if (task->type != REDIS_REPLY_ARRAY || depth(task) > CODEC_DEPTH_MAX) return NULL;
    /* The limit is for all arrays together: else a few bytes could ask for the limit many times.
     * It may have been lowered since the reply began. */
    size_t most = reader->elements_most;
    if (count > most || reader->elements > most - count) return NULL;
    reader->elements += count;

    reply *made = place_node(task, REPLY_ARRAY);
    reply *items = take_room(reader, count * sizeof *items);
    if (made == NULL || items == NULL) return NULL;
    made->items = items;
    made->count = count;
    return made;
}

static void *build_integer(const redisReadTask *task, long long integer)
{
    reply *made = place_node(task, REPLY_INTEGER);
    if (made != NULL) made->integer = integer;
    return made;
}

static void *build_nil(const redisReadTask *task) { return place_node(task, REPLY_NIL); }

/* The nodes belong to the reader's chunks. */
static void free_nothing(void *made) { (void)made; }

#if HIREDIS_MAJOR >= 1
static void *build_array(const redisReadTask *task, size_t count)
{
    return build_items(task, count);
}

static void *refuse_double(const redisReadTask *task, double number, char *bytes, size_t length)
{
    (void)task, (void)number, (void)bytes, (void)length;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int is_true)
{
    (void)task, (void)is_true;
    return NULL;
}
#else
static void *build_array(const redisReadTask *task, int count)
{
    return count < 0 ? NULL : build_items(task, (size_t)count);
}
#endif

/* Never written; hiredis wants it without const. */
static redisReplyObjectFunctions builders = {
    .createString = build_string,
    .createArray = build_array,
    .createInteger = build_integer,
    .createNil = build_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = free_nothing,
};

/* ---- Which hiredis is it? -------------------------------------------------------------------- *
 *
 * Where it is not part of our library, the program may have another one, whose reader takes other
 * structures. What 1.0 brought tells. */

#ifdef REDLOCK_HAS_PRIVATE_HIREDIS
bool codec_is_known(void) { return true; }
#else
#if HIREDIS_MAJOR < 1
void hiredisSetAllocators(void);
#endif
#pragma weak hiredisSetAllocators

bool codec_is_known(void) { return (hiredisSetAllocators != NULL) == (HIREDIS_MAJOR >= 1); }
#endif

/* ---- The reader ------------------------------------------------------------------------------ */

codec_reader *codec_reader_new(const memory *from)
{
    codec_reader *reader = memory_new(from, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->from = *from;
    reader->elements_most = CODEC_ELEMENTS_MAX;
    reader->first = reader_chunk_new(from, CHUNK_SIZE);
    if (reader->first != NULL && codec_reader_reset(reader)) return reader;
    codec_reader_free(reader);
    return NULL;
}

void codec_reader_free(codec_reader *reader)
{
    if (reader == NULL) return;
    if (reader->parser != NULL) redisReaderFree(reader->parser);
    free_chunks(reader, reader->first);
    memory from = reader->from;
    memory_free(&from, reader);
}

bool codec_reader_reset(codec_reader *reader)
{
    if (reader->parser != NULL) redisReaderFree(reader->parser);
    begin_reply(reader);
    reader->unfinished = 0;
    reader->is_between = true;
    reader->lacks_memory = false;
    reader->parser = redisReaderCreateWithFunctions(&builders);
    reader->is_refused = reader->parser == NULL;
    if (reader->is_refused) return false;
    reader->parser->privdata = reader;
    return true;
}

void codec_reader_allow(codec_reader *reader, size_t elements_most)
{
    assert(elements_most >= CODEC_ELEMENTS_MAX);
    reader->elements_most = elements_most;
}

bool codec_feed(codec_reader *reader, const char *bytes, size_t length)
{
    if (reader->is_refused) return false;
    /* Nothing else makes it fail that has not been refused before. */
    if (redisReaderFeed(reader->parser, bytes, length) != REDIS_OK)
        reader->is_refused = reader->lacks_memory = true;
    reader->unfinished += length;
    return !reader->is_refused;
}

bool codec_lacks_memory(const codec_reader *reader) { return reader->lacks_memory; }

enum codec_result codec_next(codec_reader *reader, const reply **out)
{
    *out = NULL;
    if (reader->is_refused) return CODEC_REFUSED;
    if (reader->is_between) begin_reply(reader);

    void *root = NULL;
    if (redisReaderGetReply(reader->parser, &root) != REDIS_OK) {
        reader->is_refused = true;
        return CODEC_REFUSED;
    }
    if (root == NULL) {
        reader->is_refused = reader->unfinished > CODEC_REPLY_BYTES_MAX;
        return reader->is_refused ? CODEC_REFUSED : CODEC_MORE;
    }
    reader->unfinished = reader->parser->len - reader->parser->pos;
    reader->is_between = true;
    *out = root;
    return CODEC_REPLY;
}
