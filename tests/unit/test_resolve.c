/* SPDX-License-Identifier: MIT
 * net/resolve: numeric addresses at once, and names by whatever looks them up in this build. */
#include "unit/resolve_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

static void a_numeric_address_needs_no_lookup(void **state)
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

static void a_name_of_the_hosts_file_is_found(void **state)
{
    (void)state;
    char name[] = "localhost";
    lookup *self = lookup_begin(name, 7);
    assert_non_null(self);
    memset(name, 'x', sizeof name - 1);
    address_list out;
    const char *error = "unset";
    await_answer(self, &out, &error);
    assert_null(error);
    assert_in_range(out.count, 1, RESOLVE_ADDRESSES);
    assert_int_equal(port_of(&out.at[0]), 7);
    await(self);
    assert_true(lookup_poll(self, &out, &error));
    lookup_end(self);
    await_nothing_left();
}

static void a_name_that_does_not_exist_has_no_address_but_a_reason(void **state)
{
    (void)state;
    lookup *self = lookup_begin("a name with spaces", 7);
    assert_non_null(self);
    address_list out = {.count = 5};
    const char *error = NULL;
    await_answer(self, &out, &error);
    assert_int_equal(out.count, 0);
    assert_non_null(error);
    lookup_end(self);
    await_nothing_left();
}

static void many_abandoned_lookups_leave_nothing_behind(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) lookup_end(lookup_begin("localhost", 7));
    lookup_end(NULL);
    await_nothing_left();
}

static void a_lookup_is_closed_on_exec(void **state)
{
    (void)state;
    lookup *self = lookup_begin("localhost", 7);
    assert_non_null(self);
    assert_true((fcntl(lookup_fd(self), F_GETFD) & FD_CLOEXEC) != 0);
    await(self);
    lookup_end(self);
    await_nothing_left();
}

static void a_lookup_without_a_descriptor_is_refused(void **state)
{
    (void)state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    lookup *self = lookup_begin("localhost", 7);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    assert_null(self);
    assert_int_equal(error, EMFILE);
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
    descriptors_at_first = open_descriptors();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_numeric_address_needs_no_lookup),
        cmocka_unit_test(a_name_is_not_numeric),
        cmocka_unit_test(an_address_is_preferred_by_its_mark),
        cmocka_unit_test(a_name_of_the_hosts_file_is_found),
        cmocka_unit_test(a_name_that_does_not_exist_has_no_address_but_a_reason),
        cmocka_unit_test(many_abandoned_lookups_leave_nothing_behind),
        cmocka_unit_test(a_lookup_is_closed_on_exec),
        cmocka_unit_test(a_lookup_without_a_descriptor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
