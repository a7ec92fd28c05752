/* SPDX-License-Identifier: MIT
 * Scoped locks: the three results (the body's, the release's, the acquisition's) kept apart. */
#include <errno.h>

#include "api/act.h"
#include "wire/text.h"

static void warn(const event_log *log, const char *name, redlock_status status)
{
    const char *words = redlock_why_failed();
    log_line(log, REDLOCK_LOG_WARNING, "lock \"%s\": release failed on leaving its scope: %s%s%s",
             name, redlock_strerror(status), words[0] != '\0' ? ": " : "", words);
}

/* Releases, and logs a failure if it has no other place to go, and is not logged wherever it
 * happens. The variable goes in any case: in a callback, which may not wait, the lock is given back
 * in the background. The body's errno is the body's. */
static redlock_status release(redlock_lock *lock, bool warns)
{
    const int kept = errno;
    redlock_client *client = client_of(lock);
    event_log log = client->log;
    char name[160];
    text_escape(name, sizeof name, lock_name(lock), lock->name_length);
    redlock_status status = redlock_release(lock);
    if (status == REDLOCK_ERR_IN_CALLBACK) {
        handle_leave(client, lock);
        status = REDLOCK_OK;
    }
    if (warns && status != REDLOCK_OK && !release_is_logged(status)) warn(&log, name, status);
    errno = kept;
    return status;
}

redlock_status redlock_release_and_clear(redlock_lock **lock)
{
    if (lock == NULL) return REDLOCK_OK;
    redlock_status status = redlock_release(*lock);
    if (status != REDLOCK_ERR_IN_CALLBACK) *lock = NULL;
    return status;
}

void redlock_auto_release(redlock_lock **lock)
{
    if (*lock != NULL) release(*lock, true);
    *lock = NULL;
}

redlock_scope redlock_scope_begin(redlock_client *client, const char *name,
                                  const redlock_options *options, redlock_status *status,
                                  int *error)
{
    redlock_scope scope = {.status = status, .error = error};
    redlock_status st = redlock_acquire(client, name, options, &scope.lock);
    if (status != NULL) *status = st;
    return scope;
}

/* On a clean body the release is the result; beside an error of the body, or where nobody asked for
 * the result, it can only be logged. */
void redlock_scope_end(redlock_scope *scope)
{
    if (scope->lock == NULL) return;
    bool body_failed = scope->error != NULL && *scope->error != 0;
    redlock_status st = release(scope->lock, body_failed || scope->status == NULL);
    scope->lock = NULL;
    if (scope->status != NULL) *scope->status = st;
}
