/* SPDX-License-Identifier: MIT
 * What a script is asked, before it becomes a command. Pure: it points into its owner's bytes. */
#ifndef REDLOCK_WIRE_QUESTION_H
#define REDLOCK_WIRE_QUESTION_H

#include <stdbool.h>

#include <stdint.h>

#include "wire/command.h"

typedef struct question {
    enum script_id script;
    const char *key;
    size_t key_length;
    const char *holder; /* NULL for inspect and force */
    size_t holder_length;
    int64_t first_ms; /* acquire, renew, upgrade: ttl; release, cancel, force: linger; inspect: the
                         most members to list */
    int64_t grace_ms; /* not for inspect */
    int64_t nonce;
    const char *mode; /* acquire, cancel */
    size_t mode_length;
    const char *inbox; /* acquire, cancel: "<claim ms> <channel>", length 0 for none; examine: the
                          channel */
    size_t inbox_length;
    int64_t arrival_us; /* acquire: as told before; 0 for none */
    int64_t
        burial_ms; /* release, cancel: how long the hold id is refused from now on; 0: it is not */
    int64_t fence; /* upgrade, downgrade, force: the last one that is known */
} question;

/* The command of docs/protocol.md, "Scripts". It points into the question's owner's bytes and must
 * not be copied. */
void question_command(command *out, const question *from, bool by_source);

#endif
