/* SPDX-License-Identifier: MIT
 * net/resolve: numeric addresses at once, names by a thread that may be abandoned at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "net/resolve.h"

enum { PATIENCE_MS = 20000 };

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

static uint16_t port_of(const address *at)
{
    if (at->storage.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&at->storage)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&at->storage)->sin_port);
}

static void await(const lookup *self)
{
    struct pollfd wait = {.fd = lookup_fd(self), .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

static void a_numeric_address_needs_no_thread(void **state)
{
    (void)state;
    address_list out;
    assert_true(resolve_numeric(&out, "127.0.0.1", 6379));
    assert_int_equal(out.count, 1);
    assert_int_equal(out.at[0].storage.ss_family, AF_INET);
    assert_int_equal(out.at[0].length, sizeof(struct sockaddr_in));
    assert_int_equal(port_of(&out.at[0]), 6379);
    assert_true(resolve_numeric(&out, "::1", 65535));
    assert_int_equal(out.at[0].storage.ss_family, AF_INET6);
    assert_int_equal(port_of(&out.at[0]), 65535);
}

static void a_name_is_not_numeric(void **state)
{
    (void)state;
    address_list out = {.count = 3};
    assert_false(resolve_numeric(&out, "localhost", 1));
    assert_int_equal(out.count, 0);
    assert_false(resolve_numeric(&out, "", 1));
    assert_false(resolve_numeric(&out, "1.2.3.4.5", 1));
}

static void a_name_is_resolved_by_a_thread(void **state)
{
    (void)state;
    char name[] = "localhost";
    lookup *self = lookup_begin(name, 7);
    assert_non_null(self);
    memset(name, 'x', sizeof name - 1);
    await(self);
    address_list out;
    const char *error = "unset";
    assert_true(lookup_poll(self, &out, &error));
    assert_null(error);
    assert_in_range(out.count, 1, RESOLVE_ADDRESSES);
    assert_int_equal(port_of(&out.at[0]), 7);
    lookup_end(self);
}

static void a_name_that_does_not_exist_has_no_address_but_a_reason(void **state)
{
    (void)state;
    lookup *self = lookup_begin("a name with spaces", 7);
    assert_non_null(self);
    await(self);
    address_list out = {.count = 5};
    const char *error = NULL;
    assert_true(lookup_poll(self, &out, &error));
    assert_int_equal(out.count, 0);
    assert_non_null(error);
    lookup_end(self);
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
    assert_true(lookup_poll(self, &out, &error));
    lookup_end(self);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *all = opendir("/proc/self/fd");
    assert_non_null(all);
    while (readdir(all) != NULL) count++;
    closedir(all);
    return count;
}

static int descriptors_at_first;

/* A thread that was left behind ends its reference, and its descriptor, when it gets to it. */
static void await_threads(void)
{
    for (int waited = 0; open_descriptors() > descriptors_at_first; waited++) {
        assert_in_range(waited, 0, PATIENCE_MS);
        poll(NULL, 0, 1);
    }
}

static void a_lookup_is_abandoned_without_waiting_for_its_thread(void **state)
{
    (void)state;
    await_threads();
    lookup_end(begin_held_up());
    assert_int_equal(open_descriptors(), descriptors_at_first + 1);
    let_go();
    await_threads();
    lookup_end(NULL);
}

static void many_abandoned_lookups_leave_nothing_behind(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) lookup_end(lookup_begin("localhost", 7));
    await_threads();
}

static void a_lookup_is_closed_on_exec(void **state)
{
    (void)state;
    lookup *self = lookup_begin("localhost", 7);
    assert_non_null(self);
    assert_true((fcntl(lookup_fd(self), F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(lookup_fd(self), F_GETFL) & O_NONBLOCK) != 0);
    await(self);
    lookup_end(self);
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
}

static void an_address_is_preferred_by_its_mark(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2", "::1"};
    address_list list = {0}, one;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(resolve_numeric(&one, hosts[i], 7));
        list.at[list.count++] = one.at[0];
    }
    address_list before = list;
    address_list_prefer(&list, 0);
    assert_memory_equal(&list, &before, sizeof list);
    address_list_prefer(&list, address_mark(&before.at[2]));
    assert_memory_equal(&list.at[0], &before.at[2], sizeof list.at[0]);
    assert_memory_equal(&list.at[1], &before.at[0], sizeof list.at[0]);
    assert_memory_equal(&list.at[2], &before.at[1], sizeof list.at[0]);
    assert_true(address_mark(&before.at[0]) != address_mark(&before.at[1]));
}

int main(void)
{
    sem_init(&gate, 0, 0);
    sem_init(&entered, 0, 0);
    descriptors_at_first = open_descriptors();
    pthread_sigmask(SIG_SETMASK, NULL, &mask_at_first);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_numeric_address_needs_no_thread),
        cmocka_unit_test(a_name_is_not_numeric),
        cmocka_unit_test(an_address_is_preferred_by_its_mark),
        cmocka_unit_test(a_name_is_resolved_by_a_thread),
        cmocka_unit_test(a_name_that_does_not_exist_has_no_address_but_a_reason),
        cmocka_unit_test(an_answer_is_there_when_the_descriptor_says_so),
        cmocka_unit_test(a_lookup_is_abandoned_without_waiting_for_its_thread),
        cmocka_unit_test(many_abandoned_lookups_leave_nothing_behind),
        cmocka_unit_test(a_lookup_is_closed_on_exec),
        cmocka_unit_test(the_thread_blocks_all_signals_but_of_faults_and_the_caller_none_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
