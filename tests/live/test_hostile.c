/* SPDX-License-Identifier: MIT
 * What nobody sane would pass or configure: a status each, no crash, and never a lock. */
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "live/stage.h"

#define DAYS_MS(days) (INT64_C(24) * 3600 * 1000 * (days))

static void expect_refusal(redlock_client *client, const redlock_options *options,
                           redlock_status due)
{
    redlock_lock *lock = (redlock_lock *)options; /* anything but NULL */
    redlock_status st = redlock_acquire(client, "r", options, &lock);
    assert_string_equal(redlock_status_name(st), redlock_status_name(due));
    assert_null(lock);
}

/* ---- Arguments --------------------------------------------------------------------------------*/

static void a_name_has_1_to_65536_bytes(void **state)
{
    enum { LARGE = 1 << 20 };
    static char large[LARGE + 1];
    stage *the = *state;
    redlock_lock *lock;
    memset(large, '{', LARGE);
    EXPECT(redlock_acquire(the->client, "", NULL, &lock), REDLOCK_ERR_NAME);
    EXPECT(redlock_acquire(the->client, NULL, NULL, &lock), REDLOCK_ERR_NAME);
    EXPECT(redlock_acquire(the->client, large, NULL, &lock), REDLOCK_ERR_NAME);
    EXPECT(redlock_acquire_bytes(the->client, NULL, 5, NULL, &lock), REDLOCK_ERR_NAME);
    EXPECT(redlock_acquire_bytes(the->client, "x", SIZE_MAX, NULL, &lock), REDLOCK_ERR_NAME);
    EXPECT(redlock_acquire_bytes(the->client, large, 65537, NULL, &lock), REDLOCK_ERR_NAME);
    assert_int_equal(stats_of(the->client).commands, 0);
    EXPECT(redlock_acquire_bytes(the->client, large, 65536, NULL, &lock), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* Pitfall 12. */
static void a_ttl_is_1_ms_to_30_days(void **state)
{
    stage *the = *state;
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = -1), REDLOCK_ERR_TTL);
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = INT64_MIN), REDLOCK_ERR_TTL);
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = INT64_MAX), REDLOCK_ERR_TTL);
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = DAYS_MS(30) + 1), REDLOCK_ERR_TTL);
    assert_int_equal(stats_of(the->client).commands, 0);
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = DAYS_MS(30)));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void an_extension_has_a_ttl(void **state)
{
    static const int64_t bad[] = {0, -1, INT64_MIN, INT64_MAX, DAYS_MS(30) + 1};
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT(redlock_extend(lock, bad[i]), REDLOCK_ERR_TTL);
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void a_duration_that_makes_no_sense_is_refused(void **state)
{
    stage *the = *state;
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = -2), REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = INT64_MAX), REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = INT64_MIN), REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.max_hold_ms = -1), REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.claim_ms = -1), REDLOCK_ERR_ARGUMENT);
    assert_int_equal(stats_of(the->client).commands, 0);
    redlock_lock *lock =
        take(the->client, "r", REDLOCK_OPTIONS(.claim_ms = INT64_MAX, .wait_ms = DAYS_MS(30)));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

typedef struct newer_options {
    redlock_options known;
    int64_t unknown;
} newer_options;

static void options_of_an_impossible_size_are_refused(void **state)
{
    stage *the = *state;
    newer_options newer = {.known = {.struct_size = sizeof newer}, .unknown = 1};
    expect_refusal(the->client, &(redlock_options){.ttl_ms = 5}, REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, &(redlock_options){.struct_size = 4}, REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, &(redlock_options){.struct_size = SIZE_MAX}, REDLOCK_ERR_ARGUMENT);
    expect_refusal(the->client, &newer.known, REDLOCK_ERR_ARGUMENT);
    newer.unknown = 0;
    EXPECT(redlock_release(take(the->client, "r", &newer.known)), REDLOCK_OK);
}

static void options_of_an_older_header_are_understood(void **state)
{
    stage *the = *state;
    redlock_options older = {
        .struct_size = offsetof(redlock_options, wait_ms), .ttl_ms = 500, .wait_ms = -77};
    redlock_lock *lock = take(the->client, "r", &older);
    assert_in_range(redlock_remaining_ms(lock), 1, 500);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void expect_unopened(const char *uri, const redlock_client_options *options,
                            redlock_status due)
{
    redlock_client *client = (redlock_client *)&due; /* anything but NULL */
    redlock_status st = redlock_open(uri, options, &client);
    if (st != due) fail_msg("%s: %s", uri ? uri : "(null)", redlock_status_name(st));
    assert_null(client);
}

static void client_options_out_of_range_are_refused(void **state)
{
    (void)state;
    const char *uri = "redis://127.0.0.1";
    expect_unopened(uri, &(redlock_client_options){.timeout_ms = 5}, REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = -1), REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = INT64_MAX), REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.connect_timeout_ms = INT64_MIN),
                    REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.linger_ms = -2), REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.key_prefix = "a{b"), REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.key_prefix = "a\n"), REDLOCK_ERR_ARGUMENT);
    expect_unopened(uri, REDLOCK_CLIENT_OPTIONS(.log_level = (redlock_level)77),
                    REDLOCK_ERR_ARGUMENT);
}

/* Pitfall 40: and no complaint repeats a password. */
static void a_malformed_uri_is_refused_without_its_password(void **state)
{
    static const char *const uris[] = {"",
                                       "redis",
                                       "redis:/h",
                                       "http://hunter2@h",
                                       "redis://",
                                       "redis://:hunter2@",
                                       "redis://:hunter2@h:65536",
                                       "redis://:hunter2@h:-1",
                                       "redis://:hunter2@h:x",
                                       "redis://:hunter2@h/x",
                                       "redis://:hunter2@h/-1",
                                       "redis://:hunter2@h/0/1",
                                       "redis://:hunter2@[::1",
                                       "redis://:hunter2%zz@h",
                                       "redis://:hunter2%@h",
                                       "redis://:hunter2@h o s t",
                                       "unix://",
                                       "unix://:hunter2@/s?db=x",
                                       "unix://:hunter2@/s?what=1",
                                       "redis://:hunter2@h\n",
                                       "valkey://:hunter2@",
                                       "redis://:hunter2@a,b",
                                       "redis+cluster://:hunter2@a,,b",
                                       "redis+cluster://:hunter2@a,:hunter2@b",
                                       "rediss+cluster://:hunter2@a/1",
                                       "redis://:hunter2@h/99999999999999999999"};
    redlock_detail detail;
    (void)state;
    expect_unopened(NULL, NULL, REDLOCK_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        expect_unopened(uris[i], REDLOCK_CLIENT_OPTIONS(.detail = &detail), REDLOCK_ERR_URI);
        assert_true(detail.text[0] != '\0');
        assert_null(strstr(detail.text, "hunter2"));
    }
}

static void null_is_never_a_crash(void **state)
{
    stage *the = *state;
    redlock_lock *lock;
    redlock_inspection *seen;
    EXPECT(redlock_open(server_uri(the->server), NULL, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_close(NULL), REDLOCK_OK);
    EXPECT(redlock_acquire(NULL, "r", NULL, &lock), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_acquire(the->client, "r", NULL, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_release(NULL), REDLOCK_OK);
    EXPECT(redlock_release_and_clear(NULL), REDLOCK_OK);
    EXPECT(redlock_extend(NULL, 1), REDLOCK_ERR_ARGUMENT);
    assert_false(redlock_is_held(NULL));
    assert_null(redlock_name(NULL, NULL));
    assert_int_equal(redlock_remaining_ms(NULL) + (int64_t)redlock_fence(NULL), 0);
    EXPECT(redlock_inspect(NULL, "r", 1, &seen, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_inspect(the->client, "r", 1, NULL, NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_inspect(the->client, NULL, 1, &seen, NULL), REDLOCK_ERR_NAME);
    EXPECT(redlock_inspect(the->client, "r", 0, &seen, NULL), REDLOCK_ERR_NAME);
    redlock_inspection_free(NULL);
    redlock_cancel(NULL);
    redlock_canceller_reset(NULL);
    redlock_canceller_close(NULL);
    EXPECT(redlock_canceller_open(NULL), REDLOCK_ERR_ARGUMENT);
    EXPECT(redlock_credentials_set(NULL, NULL, NULL), REDLOCK_ERR_ARGUMENT);
    redlock_stats_read(the->client, NULL, 0);
    assert_int_equal(stats_of(NULL).commands, 0);
    assert_non_null(redlock_strerror((redlock_status)INT_MAX));
    assert_non_null(redlock_status_name((redlock_status)INT_MIN));
}

/* ---- Keys that are something else -------------------------------------------------------------*/

/* Pitfall 4: a status of its own, and the stranger's data as it was. */
static void a_key_of_another_type_is_left_as_it_is(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_detail detail;
    server_number(the->server, "SET redlock:{r} data");
    expect_refusal(the->client, REDLOCK_OPTIONS(.detail = &detail), REDLOCK_ERR_WRONG_TYPE);
    assert_true(detail.text[0] != '\0');
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER),
                   REDLOCK_ERR_WRONG_TYPE);
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_ERR_WRONG_TYPE);
    assert_null(seen);
    assert_int_equal(server_number(the->server, "GET redlock:{r}"), 4);
}

static void a_sorted_set_that_is_no_lock_is_left_as_it_is(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    server_number(the->server, "ZADD redlock:{r} -inf low 5 short 7.5 half +inf high");
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = 500), REDLOCK_ERR_LAYOUT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = 5000), REDLOCK_ERR_LAYOUT);
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_ERR_LAYOUT);
    assert_null(seen);
    assert_int_equal(server_number(the->server, "ZCARD redlock:{r}"), 4);
    assert_int_equal(server_number(the->server, "PTTL redlock:{r}"), -1);
}

/* As its scripts wrote it: the fence is below all, and the member of a holder tells its mode. */
static void a_lock_of_version_0_1_is_left_as_it_is(void **state)
{
    stage *the = *state;
    size_t removed;
    server_number(the->server, "ZADD redlock:{r} -1800000000000000 f 1900000000000 %s",
                  "x id.1 h:1:n");
    expect_refusal(the->client, REDLOCK_OPTIONS(.ttl_ms = 500), REDLOCK_ERR_LAYOUT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.mode = REDLOCK_SHARED), REDLOCK_ERR_LAYOUT);
    expect_refusal(the->client, REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER),
                   REDLOCK_ERR_LAYOUT);
    EXPECT(redlock_force_release(the->client, "r", 1, &removed, NULL), REDLOCK_ERR_LAYOUT);
    assert_int_equal(removed, 0);
    assert_int_equal(server_number(the->server, "ZCARD redlock:{r}"), 2);
}

static void strange_waiters_are_dropped(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    expect_free(the->other, "r");
    server_number(the->server,
                  "ZADD redlock:{r} 1800000000000000 %s 1700000000000000 %s 5800000000000000 %s",
                  "garbage", "-5 x y z", "2000 c x id.1 h:1:n");
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->party_count, 0);
    redlock_inspection_free(seen);
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.wait_ms = 5000));
    expect_taken(the->other, "r");
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->other, "r");
}

/* ---- Rights -----------------------------------------------------------------------------------*/

static void expect_denied(stage *the, const char *rights, const char *password, int64_t wait_ms)
{
    char command[256];
    redlock_detail detail;
    snprintf(command, sizeof command, "ACL SETUSER u reset on >right %s", rights);
    server_number(the->server, command);
    redlock_client *client =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.user = "u", .password = password, LOGGED(the)));
    expect_refusal(client, REDLOCK_OPTIONS(.wait_ms = wait_ms, .detail = &detail),
                   REDLOCK_ERR_DENIED);
    assert_true(detail.text[0] != '\0');
    assert_null(strstr(detail.text, password));
    stage_close(the, client);
}

static void a_user_without_rights_is_told_so(void **state)
{
    stage *the = *state;
    expect_denied(the, "~* &* +@all", "hunter2", 0);
    expect_denied(the, "~* &* +@all", "hunter2", REDLOCK_WAIT_FOREVER);
    expect_denied(the, "~* &* +@all -@scripting", "right", 0);
    expect_denied(the, "~* &* +@all -@scripting", "right", REDLOCK_WAIT_FOREVER);
    expect_denied(the, "~other:* &* +@all", "right", 0);
    redlock_lock *held = take(the->client, "r", NULL);
    expect_denied(the, "~* resetchannels +@all", "right", REDLOCK_WAIT_FOREVER);
    expect_denied(the, "~* &* +@all -subscribe", "right", REDLOCK_WAIT_FOREVER);
    EXPECT(redlock_release(held), REDLOCK_OK);
    assert_int_equal(stage_waiters(the, "r"), 0);
}

/* Or it would do as the default user what it has no right to. */
static void a_user_without_a_password_is_that_user_or_an_error(void **state)
{
    stage *the = *state;
    redlock_client *client =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.user = "u", LOGGED(the)));
    expect_refusal(client, NULL, REDLOCK_ERR_DENIED);
    server_number(the->server, "ACL SETUSER u reset on nopass ~other:* &* +@all");
    expect_refusal(client, NULL, REDLOCK_ERR_DENIED);
    server_number(the->server, "ACL SETUSER u allkeys");
    expect_free(client, "r");
    server_number(the->server, "ACL SETUSER u reset on >right allkeys &* +@all");
    server_order(the->server, "CLIENT KILL USER u");
    expect_refusal(client, NULL, REDLOCK_ERR_DENIED);
}

static void a_wrong_password_fails_the_open_that_connects(void **state)
{
    stage *the = *state;
    redlock_detail detail;
    server_number(the->server, "CONFIG SET requirepass right");
    expect_unopened(
        server_uri(the->server),
        REDLOCK_CLIENT_OPTIONS(.password = "hunter2", .connect_now = true, .detail = &detail),
        REDLOCK_ERR_DENIED);
    assert_null(strstr(detail.text, "hunter2"));
    assert_true(detail.text[0] != '\0');
    redlock_client *bare = stage_open(the, server_uri(the->server), NULL);
    expect_refusal(bare, REDLOCK_OPTIONS(.wait_ms = 5000), REDLOCK_ERR_DENIED);
    server_number(the->server, "CONFIG SET requirepass %s", "");
}

static void a_clients_name_of_any_bytes_is_no_obstacle(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_client *odd =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.name = "a b\n\x01\xff{}", LOGGED(the)));
    redlock_lock *lock = take(odd, "r", NULL);
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->party_count, 1);
    for (const char *at = seen->parties[0].who; *at != '\0'; at++)
        assert_true(*at > ' ' && *at <= '~');
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* Pitfall 40. */
static void control_characters_of_a_name_never_reach_the_log(void **state)
{
    stage *the = *state;
    {
        REDLOCK_AUTO redlock_lock *lock = take(the->client, "a\n\x1b[31m\"\\\x7f\xff", NULL);
        freeReplyObject(server_command(the->server, "FLUSHALL"));
        assert_true(redlock_is_held(lock));
    }
    assert_int_equal(atomic_load(&the->journal.lines), 1);
    for (const char *at = the->journal.last; *at != '\0'; at++)
        assert_true(*at >= ' ' && *at <= '~');
}

/* ---- Servers that are not there ---------------------------------------------------------------*/

static void ask_in_vain(redlock_client *client, int64_t wait_ms)
{
    redlock_lock *lock;
    assert_true(redlock_acquire(client, "r", REDLOCK_OPTIONS(.wait_ms = wait_ms), &lock) < 0);
    assert_null(lock);
}

static int64_t hasty_ms(void) { return patience_outlasting_ms(150); }

static void open_in_vain(const char *uri)
{
    redlock_client *client;
    EXPECT(redlock_open(uri,
                        REDLOCK_CLIENT_OPTIONS(.connect_timeout_ms = hasty_ms(),
                                               .connect_now = true, .password = "greeted"),
                        &client),
           REDLOCK_ERR_TIMEOUT);
}

/* The kernel completes the connections, and nobody ever reads them. */
static void a_server_that_never_answers_delays_nobody_beyond_the_deadline(void **state)
{
    stage *the = *state;
    char uri[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length) | listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&at, &length);
    snprintf(uri, sizeof uri, "redis://127.0.0.1:%d", ntohs(at.sin_port));
    redlock_client *client =
        stage_open(the, uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = hasty_ms(), LOGGED(the)));
    PUNCTUAL(hasty_ms() * 1000, ask_in_vain(client, 0));
    PUNCTUAL((hasty_ms() + 50) * 1000, ask_in_vain(client, hasty_ms() + 50));
    PUNCTUAL(hasty_ms() * 1000, open_in_vain(uri));
    stage_close(the, client);
    close(fd);
}

/* What the resolver says, or that it was too slow. */
static void a_name_that_never_resolves_delays_nobody_beyond_the_deadline(void **state)
{
    stage *the = *state;
    redlock_client *client =
        stage_open(the, "redis://nowhere.invalid",
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = hasty_ms(), LOGGED(the)));
    PUNCTUAL(hasty_ms() * 1000, ask_in_vain(client, 0));
    PUNCTUAL((hasty_ms() + 50) * 1000, ask_in_vain(client, hasty_ms() + 50));
}

static void a_socket_that_is_not_there_is_a_failed_connection(void **state)
{
    stage *the = *state;
    redlock_detail detail;
    redlock_client *client = stage_open(the, "unix:///nonexistent/redis.sock",
                                        REDLOCK_CLIENT_OPTIONS(.timeout_ms = 150, LOGGED(the)));
    for (int i = 0; i < 8; i++) {
        expect_refusal(client, REDLOCK_OPTIONS(.detail = &detail), REDLOCK_ERR_CONNECT);
        assert_true(detail.text[0] != '\0');
    }
    expect_unopened("unix:///nonexistent/redis.sock", REDLOCK_CLIENT_OPTIONS(.connect_now = true),
                    REDLOCK_ERR_CONNECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_name_has_1_to_65536_bytes),
        ON_STAGE(a_ttl_is_1_ms_to_30_days),
        ON_STAGE(an_extension_has_a_ttl),
        ON_STAGE(a_duration_that_makes_no_sense_is_refused),
        ON_STAGE(options_of_an_impossible_size_are_refused),
        ON_STAGE(options_of_an_older_header_are_understood),
        cmocka_unit_test(client_options_out_of_range_are_refused),
        cmocka_unit_test(a_malformed_uri_is_refused_without_its_password),
        ON_STAGE(null_is_never_a_crash),
        ON_STAGE(a_key_of_another_type_is_left_as_it_is),
        ON_STAGE(a_sorted_set_that_is_no_lock_is_left_as_it_is),
        ON_STAGE(a_lock_of_version_0_1_is_left_as_it_is),
        ON_STAGE(strange_waiters_are_dropped),
        ON_STAGE(a_user_without_rights_is_told_so),
        ON_STAGE(a_user_without_a_password_is_that_user_or_an_error),
        ON_STAGE(a_wrong_password_fails_the_open_that_connects),
        ON_STAGE(a_clients_name_of_any_bytes_is_no_obstacle),
        ON_STAGE(control_characters_of_a_name_never_reach_the_log),
        ON_STAGE(a_server_that_never_answers_delays_nobody_beyond_the_deadline),
        ON_STAGE(a_name_that_never_resolves_delays_nobody_beyond_the_deadline),
        ON_STAGE(a_socket_that_is_not_there_is_a_failed_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
