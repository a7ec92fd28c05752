/* SPDX-License-Identifier: MIT
 * One log line at a time, to the user's function. The rule: no allocation, no signal, and errno
 * stays as it was, so that a line may be logged anywhere. */
#include "host/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/cancellation.h"
#include "host/pipe_signal.h"

enum { LINE_SIZE = 512, PRINTED_SIZE = LINE_SIZE + 32 };

static const char *level_name(redlock_level level)
{
    switch (level) {
    case REDLOCK_LOG_ERROR: return "error";
    case REDLOCK_LOG_WARNING: return "warning";
    case REDLOCK_LOG_INFO: return "info";
    case REDLOCK_LOG_DEBUG: return "debug";
    case REDLOCK_LOG_SILENT: break;
    }
    return "note";
}

/* One write for the whole line, so that the lines of several threads do not mix. A line that cannot
 * be written is dropped. */
static void write_to_stderr(void *arg, redlock_level level, const char *line)
{
    char printed[PRINTED_SIZE];
    int length = snprintf(printed, sizeof printed, "redlock: %s: %s\n", level_name(level), line);

    (void)arg;
    if (length <= 0) return;
    if ((size_t)length >= sizeof printed) length = (int)sizeof printed - 1;
    pipe_signal before = pipe_signal_defer();
    ssize_t written = write(STDERR_FILENO, printed, (size_t)length);
    (void)written;
    pipe_signal_restore(&before);
}

event_log event_log_from(redlock_log_fn *write, void *arg, redlock_level level)
{
    return (event_log){
        .write = write != NULL ? write : write_to_stderr,
        .arg = arg,
        .level = level != 0 ? level : REDLOCK_LOG_WARNING,
    };
}

static bool is_wanted(const event_log *log, redlock_level level)
{
    return log->level != REDLOCK_LOG_SILENT && level <= log->level;
}

void log_line(const event_log *log, redlock_level level, const char *format, ...)
{
    if (!is_wanted(log, level)) return;

    char line[LINE_SIZE];
    int saved_errno = errno;
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);

    if (length < 0) line[0] = '\0';
    if (length >= LINE_SIZE) memcpy(line + LINE_SIZE - 4, "...", 4);
    int before = cancellation_defer();
    log->write(log->arg, level, line);
    cancellation_restore(before);
    errno = saved_errno;
}
