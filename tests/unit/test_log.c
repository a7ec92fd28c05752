/* SPDX-License-Identifier: MIT
 * host/log: which lines are handed over, how long ones are cut, and what the default writes. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/log.h"

typedef struct book {
    int lines;
    redlock_level level;
    char line[1024];
} book;

static void write_down(void *arg, redlock_level level, const char *line)
{
    book *self = arg;

    self->lines++;
    self->level = level;
    strncpy(self->line, line, sizeof self->line - 1);
    errno = ERANGE;
}

static void a_line_reaches_the_user_with_its_level_and_argument(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, REDLOCK_LOG_INFO);

    (void)state;
    log_line(&log, REDLOCK_LOG_INFO, "%s is %d", "six", 6);
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, REDLOCK_LOG_INFO);
    assert_string_equal(seen.line, "six is 6");
}

static void a_more_detailed_line_is_not_logged(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, REDLOCK_LOG_INFO);

    (void)state;
    log_line(&log, REDLOCK_LOG_DEBUG, "no");
    assert_int_equal(seen.lines, 0);
}

static void level_zero_means_warnings_and_errors(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, 0);

    (void)state;
    log_line(&log, REDLOCK_LOG_ERROR, "yes");
    log_line(&log, REDLOCK_LOG_WARNING, "yes");
    log_line(&log, REDLOCK_LOG_INFO, "no");
    assert_int_equal(seen.lines, 2);
}

static void silent_logs_nothing(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, REDLOCK_LOG_SILENT);

    (void)state;
    for (int level = REDLOCK_LOG_ERROR; level <= REDLOCK_LOG_SILENT; level++) {
        log_line(&log, (redlock_level)level, "no");
    }
    assert_int_equal(seen.lines, 0);
}

static void a_line_of_511_bytes_is_whole_and_a_longer_one_ends_in_dots(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, REDLOCK_LOG_INFO);

    (void)state;
    log_line(&log, REDLOCK_LOG_INFO, "%0511d", 7);
    assert_int_equal(strlen(seen.line), 511);
    assert_string_equal(seen.line + 508, "007");
    log_line(&log, REDLOCK_LOG_INFO, "%0512d", 7);
    assert_int_equal(strlen(seen.line), 511);
    assert_string_equal(seen.line + 507, "0...");
}

static void logging_leaves_errno_alone(void **state)
{
    book seen = {0};
    event_log log = event_log_from(write_down, &seen, REDLOCK_LOG_INFO);

    (void)state;
    errno = EAGAIN;
    log_line(&log, REDLOCK_LOG_INFO, "line");
    assert_int_equal(errno, EAGAIN);
}

/* Runs the default function with stderr replaced by `fd`. */
static void log_to(int fd, redlock_level level, const char *text)
{
    event_log log = event_log_from(NULL, NULL, REDLOCK_LOG_DEBUG);
    int saved = dup(STDERR_FILENO);

    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    log_line(&log, level, "%s", text);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
}

static void the_default_writes_name_level_and_line_to_stderr(void **state)
{
    int ends[2];
    char seen[100] = "";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_to(ends[1], REDLOCK_LOG_WARNING, "mind the gap");
    assert_true(read(ends[0], seen, sizeof seen - 1) > 0);
    assert_string_equal(seen, "redlock: warning: mind the gap\n");
    close(ends[0]);
    close(ends[1]);
}

static void the_longest_line_keeps_its_newline(void **state)
{
    int ends[2];
    char text[700] = "";
    char seen[700] = "";

    (void)state;
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(pipe(ends), 0);
    log_to(ends[1], REDLOCK_LOG_WARNING, text);
    assert_true(read(ends[0], seen, sizeof seen - 1) > 511);
    assert_string_equal(seen + strlen(seen) - 5, "x...\n");
    close(ends[0]);
    close(ends[1]);
}

static void each_level_has_its_name(void **state)
{
    int ends[2];
    char seen[200] = "";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    for (int level = REDLOCK_LOG_ERROR; level <= REDLOCK_LOG_DEBUG; level++) {
        log_to(ends[1], (redlock_level)level, "x");
    }
    assert_true(read(ends[0], seen, sizeof seen - 1) > 0);
    assert_string_equal(seen, "redlock: error: x\nredlock: warning: x\n"
                              "redlock: info: x\nredlock: debug: x\n");
    close(ends[0]);
    close(ends[1]);
}

static void a_stderr_that_nobody_reads_raises_no_signal(void **state)
{
    int ends[2];
    sigset_t pending, mask;

    (void)state;
    /* With the default action, a SIGPIPE would end this test. */
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    log_to(ends[1], REDLOCK_LOG_ERROR, "lost");
    close(ends[1]);
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGPIPE));
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGPIPE));
}

static void a_sigpipe_of_the_program_itself_stays_pending(void **state)
{
    int ends[2];
    sigset_t pipe_signal, before, pending;

    (void)state;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &pipe_signal, &before), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    log_to(ends[1], REDLOCK_LOG_ERROR, "lost");
    close(ends[1]);
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGPIPE));
    assert_int_equal(sigwaitinfo(&pipe_signal, NULL), SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_reaches_the_user_with_its_level_and_argument),
        cmocka_unit_test(a_more_detailed_line_is_not_logged),
        cmocka_unit_test(level_zero_means_warnings_and_errors),
        cmocka_unit_test(silent_logs_nothing),
        cmocka_unit_test(a_line_of_511_bytes_is_whole_and_a_longer_one_ends_in_dots),
        cmocka_unit_test(logging_leaves_errno_alone),
        cmocka_unit_test(the_default_writes_name_level_and_line_to_stderr),
        cmocka_unit_test(the_longest_line_keeps_its_newline),
        cmocka_unit_test(each_level_has_its_name),
        cmocka_unit_test(a_stderr_that_nobody_reads_raises_no_signal),
        cmocka_unit_test(a_sigpipe_of_the_program_itself_stays_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
