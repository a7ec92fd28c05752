/* SPDX-License-Identifier: MIT
 * host/thread: a thread's number is its own. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/thread.h"

enum { THREADS = 8 };

static void *tell_number(void *out)
{
    *(uint64_t *)out = thread_number();
    if (thread_number() != *(uint64_t *)out) *(uint64_t *)out = 0;
    return NULL;
}

static void a_thread_keeps_its_number(void **state)
{
    const uint64_t own = thread_number();

    (void)state;
    assert_true(own > 0);
    assert_int_equal(thread_number(), own);
}

/* The ids of the system come back when a thread has ended; these numbers do not. */
static void no_later_thread_has_it_again(void **state)
{
    uint64_t highest = thread_number();

    (void)state;
    for (int i = 0; i < 50; i++) {
        uint64_t number = 0;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, tell_number, &number), 0);
        pthread_join(thread, NULL);
        assert_true(number > highest);
        highest = number;
    }
}

static void threads_that_begin_together_have_numbers_of_their_own(void **state)
{
    uint64_t numbers[THREADS] = {0};
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, tell_number, &numbers[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_true(numbers[i] > 0);
        for (int j = 0; j < i; j++) assert_true(numbers[i] != numbers[j]);
    }
}

/* ---- Threads of the library's own ---- */

static void *note_mask(void *out)
{
    pthread_sigmask(SIG_SETMASK, NULL, out);
    return NULL;
}

static void signals_of_the_program_are_not_delivered_but_those_of_a_fault(void **state)
{
    pthread_t thread;
    sigset_t mask, before, after;

    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(&thread, NULL, note_mask, &mask), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) &&
                sigismember(&mask, SIGCHLD));
    assert_false(sigismember(&mask, SIGSEGV) || sigismember(&mask, SIGBUS) ||
                 sigismember(&mask, SIGFPE));
    assert_false(sigismember(&mask, SIGILL) || sigismember(&mask, SIGABRT));
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

enum { HANDLED = 42 };

static void handle(int number)
{
    (void)number;
    _exit(HANDLED);
}

static void *crash(void *unused)
{
    raise(SIGSEGV);
    return unused;
}

static void a_fault_reaches_the_handler_of_the_program(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        pthread_t thread;
        signal(SIGSEGV, handle);
        if (thread_start(&thread, NULL, crash, NULL) == 0) pthread_join(thread, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), HANDLED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_keeps_its_number),
        cmocka_unit_test(no_later_thread_has_it_again),
        cmocka_unit_test(threads_that_begin_together_have_numbers_of_their_own),
        cmocka_unit_test(signals_of_the_program_are_not_delivered_but_those_of_a_fault),
        cmocka_unit_test(a_fault_reaches_the_handler_of_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
