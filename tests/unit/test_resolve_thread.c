/* SPDX-License-Identifier: MIT
 * net/resolve_thread: a look-up by getaddrinfo on a thread, which may be abandoned at any time. */
#include "unit/resolve_fixture.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

/* ---- A getaddrinfo that can be held up ------------------------------------------------------- */

static sem_t gate, entered;
static atomic_bool is_held_up;
static sigset_t mask_at_first;
static sigset_t mask_inside; /* of whoever called it last; read after `entered` */

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (atomic_load(&is_held_up)) {
        pthread_sigmask(SIG_SETMASK, NULL, &mask_inside);
        sem_post(&entered);
        sem_wait(&gate);
    }
    return real(host, service, hints, out);
}

static lookup *begin_held_up(void)
{
    atomic_store(&is_held_up, true);
    lookup *self = lookup_begin("localhost", 7);
    assert_non_null(self);
    sem_wait(&entered);
    return self;
}

static void let_go(void)
{
    atomic_store(&is_held_up, false);
    sem_post(&gate);
}

static void an_answer_is_there_when_the_descriptor_says_so(void **state)
{
    (void)state;
    lookup *self = begin_held_up();
    address_list out;
    const char *error;
    struct pollfd wait = {.fd = lookup_fd(self), .events = POLLIN};
    assert_false(lookup_poll(self, &out, &error));
    assert_int_equal(poll(&wait, 1, 0), 0);
    let_go();
    await(self);
    assert_true(lookup_poll(self, &out, &error));
    assert_true((fcntl(lookup_fd(self), F_GETFL) & O_NONBLOCK) != 0);
    lookup_end(self);
    await_nothing_left();
}

static void a_lookup_is_abandoned_without_waiting_for_its_thread(void **state)
{
    (void)state;
    lookup_end(begin_held_up());
    assert_int_equal(open_descriptors(), descriptors_at_first + 1);
    let_go();
    await_nothing_left();
}

static bool is_blocked(int number)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (never[i] == number) return false;
    return true;
}

static void the_thread_blocks_all_signals_but_of_faults_and_the_caller_none_of_them(void **state)
{
    (void)state;
    sigset_t after;
    lookup *self = begin_held_up();
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int number = 1; number < 32; number++) {
        assert_int_equal(sigismember(&mask_at_first, number), sigismember(&after, number));
        assert_int_equal(sigismember(&mask_inside, number), is_blocked(number));
    }
    let_go();
    await(self);
    lookup_end(self);
    await_nothing_left();
}

int main(void)
{
    sem_init(&gate, 0, 0);
    sem_init(&entered, 0, 0);
    descriptors_at_first = open_descriptors();
    pthread_sigmask(SIG_SETMASK, NULL, &mask_at_first);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_there_when_the_descriptor_says_so),
        cmocka_unit_test(a_lookup_is_abandoned_without_waiting_for_its_thread),
        cmocka_unit_test(the_thread_blocks_all_signals_but_of_faults_and_the_caller_none_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
