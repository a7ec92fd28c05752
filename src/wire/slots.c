/* SPDX-License-Identifier: MIT
 * The table of a cluster, read element by element. The rule: one that is of no use does not spoil
 * the others. Pure. */
#include "wire/slots.h"

#include <string.h>

#include "wire/key.h"

static bool read_number(uint16_t *out, const reply *from, size_t at, uint16_t least, uint16_t most)
{
    if (from->kind != REPLY_ARRAY || at >= from->count) return false;

    const reply *number = &from->items[at];

    if (number->kind != REPLY_INTEGER || number->integer < least || number->integer > most)
        return false;
    *out = (uint16_t)number->integer;
    return true;
}

static bool read_slots(slot_range *out, const reply *element)
{
    return read_number(&out->first, element, 0, 0, KEY_SLOTS - 1) &&
           read_number(&out->last, element, 1, out->first, KEY_SLOTS - 1);
}

static bool read_endpoint(char out[REDIRECT_HOST_SIZE], const reply *from)
{
    if (from->kind == REPLY_NIL) return redirect_read_host(out, "", 0);
    return from->kind == REPLY_STRING && redirect_read_host(out, from->text, from->length);
}

static bool read_primary(slot_range *out, const reply *element)
{
    if (element->count < 3) return false;

    const reply *node = &element->items[2];

    return read_number(&out->port, node, 1, 1, UINT16_MAX) &&
           read_endpoint(out->host, &node->items[0]);
}

bool slots_read(slot_range *out, const reply *table, size_t at)
{
    if (table->kind == REPLY_ARRAY && at < table->count && read_slots(out, &table->items[at]) &&
        read_primary(out, &table->items[at]))
        return true;
    memset(out, 0, sizeof *out);
    return false;
}

bool slots_is_table(const reply *table)
{
    slot_range range;

    if (table->kind != REPLY_ARRAY) return false;
    for (size_t i = 0; i < table->count; i++) {
        if (!read_slots(&range, &table->items[i])) return false;
    }
    return table->count > 0;
}
