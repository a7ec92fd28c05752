/* SPDX-License-Identifier: MIT
 * Questions to commands. Pure. */
#include "wire/question.h"

#include <assert.h>

/* What follows is left out from the end where it says nothing. */
static void add_acquire(command *out, const question *from)
{
    bool has_arrival = from->arrival_us > 0, queues = from->inbox_length > 0 || has_arrival;
    bool is_plain = from->mode_length == 1 && from->mode[0] == 'x';
    if (is_plain && !queues) return;
    command_add(out, from->mode, from->mode_length);
    if (!queues) return;
    command_add(out, from->inbox, from->inbox_length);
    if (has_arrival) command_add_number(out, from->arrival_us);
}

static void add_cancel(command *out, const question *from)
{
    command_add(out, from->mode, from->mode_length);
    command_add(out, from->inbox_length > 0 ? from->inbox : "", from->inbox_length);
    if (from->burial_ms > 0) command_add_number(out, from->burial_ms);
}

static void add_own(command *out, const question *from)
{
    switch (from->script) {
    case SCRIPT_ACQUIRE: add_acquire(out, from); return;
    case SCRIPT_CANCEL: add_cancel(out, from); return;
    case SCRIPT_RELEASE:
        if (from->burial_ms > 0) command_add_number(out, from->burial_ms);
        return;
    case SCRIPT_UPGRADE:
    case SCRIPT_DOWNGRADE:
    case SCRIPT_FORCE: command_add_number(out, from->fence); return;
    case SCRIPT_RENEW:
    case SCRIPT_INSPECT:
    case SCRIPT_EXAMINE:
    case SCRIPT_COUNT: return;
    }
}

void question_command(command *out, const question *from, bool by_source)
{
    assert(from->key_length > 0);
    assert(from->script < SCRIPT_COUNT);
    command_begin_script(out, from->script, by_source, from->key, from->key_length);
    if (from->script == SCRIPT_EXAMINE) {
        command_add(out, from->inbox, from->inbox_length);
        command_add_number(out, from->nonce);
        return;
    }
    if (from->script == SCRIPT_INSPECT) {
        command_add_number(out, from->first_ms);
        command_add_number(out, from->nonce);
        return;
    }
    command_add(out, from->holder != NULL ? from->holder : "", from->holder_length);
    command_add_number(out, from->first_ms);
    command_add_number(out, from->grace_ms);
    command_add_number(out, from->nonce);
    add_own(out, from);
}
