/* SPDX-License-Identifier: MIT
 * host/fork: a child knows that it is one, with the wiped page and without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/fork.h"

/* What a child of this process says of the guard, and a child of that child. */
static int asked_in_children(const fork_guard *guard)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        bool is_child = fork_guard_is_child(guard);
        pid_t grandchild = fork();

        if (grandchild == 0) _exit(fork_guard_is_child(guard) ? 1 : 0);
        if (waitpid(grandchild, &status, 0) != grandchild || !WIFEXITED(status)) _exit(99);
        _exit(is_child ? 2 + WEXITSTATUS(status) : WEXITSTATUS(status));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_process_that_opened_is_no_child(void **state)
{
    fork_guard guard;

    (void)state;
    fork_guard_open(&guard);
    assert_false(fork_guard_is_child(&guard));
    fork_guard_close(&guard);
}

static void a_child_and_its_child_know_it(void **state)
{
    fork_guard guard;

    (void)state;
    fork_guard_open(&guard);
    assert_int_equal(asked_in_children(&guard), 3);
    assert_false(fork_guard_is_child(&guard));
    fork_guard_close(&guard);
}

static void without_a_page_the_process_ids_are_compared(void **state)
{
    fork_guard guard = {.pid = getpid()};

    (void)state;
    assert_false(fork_guard_is_child(&guard));
    assert_int_equal(asked_in_children(&guard), 3);
}

static void a_closed_guard_can_be_closed_again(void **state)
{
    fork_guard guard;

    (void)state;
    fork_guard_open(&guard);
    fork_guard_close(&guard);
    fork_guard_close(&guard);
    assert_null(guard.page);
    assert_false(fork_guard_is_child(&guard));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_that_opened_is_no_child),
        cmocka_unit_test(a_child_and_its_child_know_it),
        cmocka_unit_test(without_a_page_the_process_ids_are_compared),
        cmocka_unit_test(a_closed_guard_can_be_closed_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
