/* SPDX-License-Identifier: MIT
 * The words for the latest failure on this thread, of calls that take no detail. The rule: whoever
 * tells a failure keeps its words first, even if they are none; a success leaves them. Private to
 * the api. */
#ifndef REDLOCK_API_WORDS_H
#define REDLOCK_API_WORDS_H

#include <redlock/redlock.h>

/* Where they are kept, for who writes them itself. */
redlock_detail *words_of_thread(void);

/* A failure with these words is about to be told; NULL: there are none. */
void words_keep(const char *text);

/* The same for a call that was refused before it did anything. The status is returned. */
redlock_status words_of_refusal(redlock_status why);

#endif
