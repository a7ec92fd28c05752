/* SPDX-License-Identifier: MIT
 * net/resolve_cares: a look-up without a thread, and what becomes of it when name servers answer,
 * are silent, go away. */
#include "unit/name_server.h"

#include <ares.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum { SOON_MS = 50, TRIES = 2, THREADS_NONE = 3 /* ".", ".." and the only one */ };

static name_server server;
static int again_ms; /* when a question is asked again */
static volatile sig_atomic_t pipe_signals;

/* ---- A c-ares that asks our server (the linker's --wrap) ------------------------------------- */

int __real_ares_init_options(ares_channel *out, const struct ares_options *options, int chosen);
int __wrap_ares_init_options(ares_channel *out, const struct ares_options *options, int chosen);

int __wrap_ares_init_options(ares_channel *out, const struct ares_options *options, int chosen)
{
    char at[32];
    struct ares_options hasty = *options;
    hasty.timeout = again_ms;
    hasty.tries = TRIES;
    int status =
        __real_ares_init_options(out, &hasty, chosen | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (status != ARES_SUCCESS) return status;
    snprintf(at, sizeof at, "127.0.0.1:%d", server.port);
    return ares_set_servers_ports_csv(*out, at);
}

/* ---- The stage ------------------------------------------------------------------------------- */

static void count_pipe_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static int set_up(void **state)
{
    (void)state;
    descriptors_at_first = open_descriptors();
    again_ms = PATIENCE_MS;
    pipe_signals = 0;
    signal(SIGPIPE, count_pipe_signal);
    server = name_server_open();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    name_server_close(&server);
    assert_int_equal(open_descriptors(), descriptors_at_first);
    assert_int_equal(entries_in("/proc/self/task"), THREADS_NONE);
    return 0;
}

static lookup *begin(const char *host)
{
    lookup *self = lookup_begin(host, 6379);
    assert_non_null(self);
    return self;
}

static bool is_ready(const lookup *self)
{
    struct pollfd now = {.fd = lookup_fd(self), .events = POLLIN};
    return poll(&now, 1, 0) == 1;
}

typedef void answerer(message *question);

/* Answers each of so many questions. */
static void answer(int count, answerer *with)
{
    for (int i = 0; i < count; i++) {
        message each = hear_question(&server);
        make_answer(&each, 0, false);
        with(&each);
        send_answer(&server, &each);
    }
}

static void with_addresses(message *question)
{
    add_address(question, question->type == TYPE_A ? "127.0.0.9" : "::9");
}

static void with_nothing(message *question) { (void)question; }
static void with_refusal(message *question) { make_answer(question, NO_SUCH_NAME, false); }
static void with_truncation(message *question) { make_answer(question, 0, true); }

static void with_too_many(message *question)
{
    for (int i = 1; question->type == TYPE_A && i <= RESOLVE_ADDRESSES + 4; i++) {
        char text[16];
        snprintf(text, sizeof text, "127.0.0.%d", i);
        add_address(question, text);
    }
}

static void expect_addresses(lookup *self, int count)
{
    address_list out;
    const char *error = "unset";
    await_answer(self, &out, &error);
    assert_null(error);
    assert_int_equal(out.count, count);
    for (int i = 0; i < count; i++) assert_int_equal(port_of(&out.at[i]), 6379);
    lookup_end(self);
}

static void expect_failure(lookup *self, const char *expected)
{
    address_list out;
    const char *error = NULL;
    await_answer(self, &out, &error);
    assert_int_equal(out.count, 0);
    assert_string_equal(error, expected);
    lookup_end(self);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void addresses_of_both_kinds_are_found(void **state)
{
    (void)state;
    lookup *self = begin("both.test");
    answer(2, with_addresses);
    address_list out;
    const char *error = "unset";
    await_answer(self, &out, &error);
    assert_null(error);
    assert_int_equal(out.count, 2);
    assert_int_not_equal(out.at[0].storage.ss_family, out.at[1].storage.ss_family);
    for (int i = 0; i < 2; i++) assert_int_equal(port_of(&out.at[i]), 6379);
    lookup_end(self);
}

static void the_descriptor_is_ready_when_there_is_something_to_do(void **state)
{
    (void)state;
    address_list out;
    const char *error;
    lookup *self = begin("quiet.test");
    assert_false(is_ready(self));
    assert_false(lookup_poll(self, &out, &error));
    assert_false(is_ready(self));
    answer(2, with_addresses);
    await_answer(self, &out, &error);
    assert_true(is_ready(self));
    assert_true(lookup_poll(self, &out, &error));
    assert_int_equal(out.count, 2);
    lookup_end(self);
}

static void addresses_that_are_too_many_are_left_out(void **state)
{
    (void)state;
    lookup *self = begin("many.test");
    answer(2, with_too_many);
    expect_addresses(self, RESOLVE_ADDRESSES);
}

static void a_name_that_does_not_exist_is_told_apart_from_one_without_addresses(void **state)
{
    (void)state;
    lookup *self = begin("nobody.test");
    answer(2, with_refusal);
    expect_failure(self, ares_strerror(ARES_ENOTFOUND));
    self = begin("empty.test");
    answer(2, with_nothing);
    expect_failure(self, ares_strerror(ARES_ENODATA));
}

static void what_is_no_host_name_is_asked_of_nobody(void **state)
{
    static const char *const wrong[] = {"a name", "sn\xc3\xb6.test", "-f.test", "a/b"};
    struct pollfd heard = {.fd = server.udp, .events = POLLIN};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_failure(begin(wrong[i]), ares_strerror(ARES_EBADNAME));
    assert_int_equal(poll(&heard, 1, 0), 0);
    lookup *self = begin("_right.te-st.");
    answer(2, with_addresses);
    expect_addresses(self, 2);
}

/* ---- Silence --------------------------------------------------------------------------------- */

static bool is_asked(void)
{
    return poll(&(struct pollfd){.fd = server.udp, .events = POLLIN}, 1, 0) == 1;
}

static void a_question_that_was_lost_is_asked_again(void **state)
{
    (void)state;
    address_list out;
    const char *error = "unset";
    again_ms = SOON_MS;
    lookup *self = begin("again.test");
    for (int i = 0; i < 2; i++) (void)hear_question(&server);
    while (!lookup_poll(self, &out, &error)) {
        while (is_asked()) answer(1, with_addresses);
        await(self);
    }
    assert_null(error);
    assert_int_equal(out.count, 2);
    assert_int_equal(server.questions, 4);
    lookup_end(self);
}

static void a_silent_server_is_given_up(void **state)
{
    (void)state;
    again_ms = SOON_MS;
    expect_failure(begin("silent.test"), ares_strerror(ARES_ETIMEOUT));
    for (int i = 0; i < 2 * TRIES; i++) (void)hear_question(&server);
}

static void a_server_that_is_not_there_is_given_up(void **state)
{
    (void)state;
    close(server.udp);
    expect_failure(begin("absent.test"), ares_strerror(ARES_ECONNREFUSED));
    server.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void an_abandoned_lookup_leaves_nothing_behind(void **state)
{
    (void)state;
    int before = open_descriptors();
    lookup *self = begin("left.test");
    assert_in_range(open_descriptors(), before + 3, before + 4);
    assert_int_equal(entries_in("/proc/self/task"), THREADS_NONE);
    lookup_end(self);
    assert_int_equal(open_descriptors(), before);
    answer(2, with_addresses);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void read_wholly(int fd, unsigned char *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = read(fd, out + done, size - done);
        assert_in_range(count, 1, size);
        done += (size_t)count;
    }
}

static void answer_over_tcp(int fd)
{
    unsigned char size[2];
    message heard = {0};
    read_wholly(fd, size, 2);
    read_wholly(fd, heard.bytes, (size_t)size[0] << 8 | size[1]);
    keep_question(&heard);
    make_answer(&heard, 0, false);
    with_addresses(&heard);
    size[0] = 0, size[1] = (unsigned char)heard.length;
    assert_int_equal(write(fd, size, 2), 2);
    assert_int_equal(write(fd, heard.bytes, heard.length), heard.length);
}

static void drive_until_readable(lookup *self, int fd)
{
    address_list out;
    const char *error;
    struct pollfd either[] = {{.fd = fd, .events = POLLIN},
                              {.fd = lookup_fd(self), .events = POLLIN}};
    while (poll(either, 2, PATIENCE_MS) > 0 && either[0].revents == 0)
        assert_false(lookup_poll(self, &out, &error));
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state)
{
    (void)state;
    lookup *self = begin("long.test");
    answer(2, with_truncation);
    drive_until_readable(self, server.tcp);
    int fd = accept(server.tcp, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        drive_until_readable(self, fd);
        answer_over_tcp(fd);
    }
    expect_addresses(self, 2);
    close(fd);
}

/* First the end of what it says, and then of all: who writes then is sent SIGPIPE. */
static void hang_up(int fd)
{
    shutdown(fd, SHUT_WR);
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static void a_server_that_hangs_up_raises_no_signal(void **state)
{
    (void)state;
    address_list out;
    const char *error = NULL;
    lookup *self = begin("hung-up.test");
    answer(2, with_truncation);
    struct pollfd either[] = {{.fd = server.tcp, .events = POLLIN},
                              {.fd = lookup_fd(self), .events = POLLIN}};
    bool is_done = false;
    while (!is_done && poll(either, 2, PATIENCE_MS) > 0) {
        if (either[0].revents != 0) hang_up(accept(server.tcp, NULL, NULL));
        else is_done = lookup_poll(self, &out, &error);
    }
    assert_non_null(error);
    assert_int_equal(pipe_signals, 0);
    lookup_end(self);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void a_child_that_ends_its_copy_takes_nothing_from_its_parent(void **state)
{
    (void)state;
    lookup *self = begin("parent.test");
    pid_t child = fork();
    if (child == 0) {
        lookup_end(self);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(is_ready(self));
    answer(2, with_addresses);
    expect_addresses(self, 2);
    assert_int_equal(server.questions, 2);
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(addresses_of_both_kinds_are_found),
        SERVED(the_descriptor_is_ready_when_there_is_something_to_do),
        SERVED(addresses_that_are_too_many_are_left_out),
        SERVED(a_name_that_does_not_exist_is_told_apart_from_one_without_addresses),
        SERVED(what_is_no_host_name_is_asked_of_nobody),
        SERVED(a_question_that_was_lost_is_asked_again),
        SERVED(a_silent_server_is_given_up),
        SERVED(a_server_that_is_not_there_is_given_up),
        SERVED(an_abandoned_lookup_leaves_nothing_behind),
        SERVED(a_truncated_answer_is_asked_for_over_tcp),
        SERVED(a_server_that_hangs_up_raises_no_signal),
        SERVED(a_child_that_ends_its_copy_takes_nothing_from_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
