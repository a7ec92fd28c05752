/* SPDX-License-Identifier: MIT
 * The words for the latest failure on this thread. */
#include "api/words.h"

#include "api/options.h"

static _Thread_local redlock_detail kept_words;

redlock_detail *words_of_thread(void) { return &kept_words; }

void words_keep(const char *text) { detail_write(&kept_words, text); }

redlock_status words_of_refusal(redlock_status why)
{
    words_keep("");
    return why;
}

const char *redlock_why_failed(void) { return kept_words.text; }
