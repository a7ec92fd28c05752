/* SPDX-License-Identifier: MIT
 * The callback that is asked for credentials. The rule: what it handed over counts, and not what it
 * answers; nothing is ever sent without what was asked for. */
#include "net/credentials.h"

#include <stdio.h>
#include <string.h>

#include "topology/endpoint.h"
#include "wire/text.h"

static _Thread_local bool is_asking;

bool credentials_are_asked_for(void) { return is_asking; }

void credentials_drop(redlock_credentials *self)
{
    memory_free_secret(self->from, self->user);
    memory_free_secret(self->from, self->password);
    self->user = self->password = NULL;
}

static redlock_status note(redlock_credentials *self, redlock_status status, const char *why)
{
    self->status = status;
    self->why = why;
    return status;
}

static bool is_too_long(const char *text) { return text != NULL && strlen(text) > CREDENTIAL_MOST; }

redlock_status credentials_take(redlock_credentials *self, const char *user, const char *password)
{
    credentials_drop(self);
    if (is_too_long(user) || is_too_long(password))
        return note(self, REDLOCK_ERR_ARGUMENT, "the user or the password is too long");
    if (!memory_copy_text(self->from, &self->user, user) ||
        !memory_copy_text(self->from, &self->password, password))
        return note(self, REDLOCK_ERR_MEMORY, "out of memory");
    return note(self, REDLOCK_OK, "the callback has none");
}

static redlock_status judge_given(const redlock_credentials *self, redlock_status answered)
{
    if (self->status == REDLOCK_ERR_MEMORY) return REDLOCK_ERR_MEMORY;
    if (self->status == REDLOCK_OK && answered == REDLOCK_OK) return REDLOCK_OK;
    bool is_final = answered == REDLOCK_OK || answered == REDLOCK_ERR_DENIED ||
                    answered == REDLOCK_ERR_ARGUMENT;
    return is_final ? REDLOCK_ERR_DENIED : REDLOCK_ERR_UNAVAILABLE;
}

/* In the callback's words, if it has any. */
static void explain_refusal(const redlock_credentials *self, redlock_detail *said,
                            redlock_detail *why)
{
    char words[sizeof why->text - 16];
    said->text[sizeof said->text - 1] = '\0';
    const char *text = said->text[0] != '\0' ? said->text : self->why;
    text_escape(words, sizeof words, text, strlen(text));
    snprintf(why->text, sizeof why->text, "credentials: %s", words);
}

redlock_status credentials_ask(redlock_credentials *out, const credentials_source *source,
                               bool was_refused, const memory *from, redlock_detail *why)
{
    redlock_detail said = {""};
    *out = (redlock_credentials){.from = from};
    (void)note(out, REDLOCK_ERR_DENIED, "the callback gave none");
    is_asking = true;
    redlock_status answered = source->ask(source->arg, was_refused, out, &said);
    is_asking = false;
    redlock_status status = judge_given(out, answered);
    if (status != REDLOCK_OK) explain_refusal(out, &said, why);
    return status;
}
