/* SPDX-License-Identifier: MIT
 * Questions to commands. Pure. */
#include "wire/question.h"

static bool has_fifth(enum script_id id)
{
    return id == SCRIPT_ACQUIRE || id == SCRIPT_CANCEL || id == SCRIPT_UPGRADE || id == SCRIPT_DOWNGRADE;
}

void question_command(command *out, const question *from, bool by_source)
{
    command_begin_script(out, from->script, by_source, from->key, from->key_length);
    if (from->script == SCRIPT_INSPECT) {
        command_add_number(out, from->first_ms);
        command_add_number(out, from->nonce);
        return;
    }
    command_add(out, from->holder, from->holder_length);
    command_add_number(out, from->first_ms);
    command_add_number(out, from->grace_ms);
    command_add_number(out, from->nonce);
    if (has_fifth(from->script))
        command_add(out, from->waiter_length > 0 ? from->waiter : "", from->waiter_length);
}
