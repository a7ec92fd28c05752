/* SPDX-License-Identifier: MIT
 * The client's memory: the user's hooks, or malloc and free. The rule: whatever is handed out is
 * zeroed, and a size that does not fit in size_t is out of memory. */
#include "host/memory.h"

#include <stdlib.h>
#include <string.h>

static void *allocate_by_malloc(void *arg, size_t size)
{
    (void)arg;
    return malloc(size);
}

static void release_by_free(void *arg, void *block)
{
    (void)arg;
    free(block);
}

memory memory_from(const redlock_allocator *hooks)
{
    if (hooks != NULL && hooks->allocate != NULL && hooks->release != NULL) return *hooks;
    return (memory){.allocate = allocate_by_malloc, .release = release_by_free, .arg = NULL};
}

void *memory_new(const memory *from, size_t size)
{
    /* An empty block still has an address, so that NULL means one thing only. */
    size_t asked = size == 0 ? 1 : size;
    void *block = from->allocate(from->arg, asked);

    if (block == NULL) return NULL;
    return memset(block, 0, asked);
}

char *memory_copy(const memory *from, const void *bytes, size_t length)
{
    if (length == SIZE_MAX) return NULL;

    char *copy = memory_new(from, length + 1);

    if (copy != NULL && length > 0) memcpy(copy, bytes, length);
    return copy;
}

bool memory_copy_text(const memory *from, char **out, const char *text)
{
    *out = text == NULL ? NULL : memory_copy(from, text, strlen(text));
    return *out != NULL || text == NULL;
}

void *memory_regrow(const memory *from, void *old, size_t kept, size_t size)
{
    size_t moved = kept < size ? kept : size;
    void *block = memory_new(from, size);

    if (block == NULL) return NULL;
    if (old != NULL && moved > 0) memcpy(block, old, moved);
    memory_free(from, old);
    return block;
}

void memory_free(const memory *from, void *block)
{
    if (block != NULL) from->release(from->arg, block);
}

/* No compiler knows what is called here. */
static void *(*const volatile overwrite)(void *, int, size_t) = memset;

void memory_wipe(void *bytes, size_t length)
{
    if (length > 0) overwrite(bytes, 0, length);
}

void memory_free_secret(const memory *from, char *text)
{
    if (text != NULL) memory_wipe(text, strlen(text));
    memory_free(from, text);
}
