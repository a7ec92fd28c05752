/* SPDX-License-Identifier: MIT
 * Locks over TLS, on a real server, by the public header alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <redlock/redlock.h>

#ifndef REDLOCK_WITH_TLS

static void without_openssl_a_client_for_rediss_is_refused(void **state)
{
    redlock_client *client = (redlock_client *)state;

    assert_int_equal(redlock_open("rediss://127.0.0.1", NULL, &client),
                     REDLOCK_ERR_TLS_UNAVAILABLE);
    assert_null(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_openssl_a_client_for_rediss_is_refused),
    };
    return cmocka_run_group_tests_name("live tls", tests, NULL, NULL);
}

#else

#include <stdatomic.h>

#include "support/certificates.h"
#include "support/server.h"

static authority *ours;
static authority *stranger;
static server *asking; /* wants a client certificate */
static server *plain;  /* speaks no TLS */
static server *open_to_all;

/* rediss:// on the address of the loopback, so that no resolver decides what the name means. */
static const char *uri_of(const server *at, const char *user_and_password)
{
    static char uri[128];

    (void)snprintf(uri, sizeof uri, "rediss://%s127.0.0.1:%d", user_and_password,
                   server_tcp_port(at));
    return uri;
}

static redlock_client_options trusting(redlock_detail *detail)
{
    return (redlock_client_options){.struct_size = sizeof(redlock_client_options),
                                    .connect_now = true,
                                    .tls_ca_file = authority_path(ours, "ca.pem"),
                                    .log_level = REDLOCK_LOG_SILENT,
                                    .detail = detail};
}

static void assert_locks(const char *uri, const redlock_client_options *options)
{
    redlock_client *client = NULL;
    redlock_lock *lock = NULL;

    redlock_status status = redlock_open(uri, options, &client);
    if (status != REDLOCK_OK)
        fail_msg("%s: %s", redlock_status_name(status), options->detail->text);
    assert_int_equal(redlock_acquire(client, "over:tls", NULL, &lock), REDLOCK_OK);
    assert_true(redlock_is_held(lock));
    assert_int_equal(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(redlock_close(client), REDLOCK_OK);
}

static void assert_refused(const char *uri, const redlock_client_options *options,
                           redlock_status expected, const char *why)
{
    redlock_client *client = NULL;

    assert_int_equal(redlock_open(uri, options, &client), expected);
    assert_null(client);
    if (strstr(options->detail->text, why) == NULL) fail_msg("'%s'", options->detail->text);
}

static void a_lock_is_held_over_tls_by_a_verified_name(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.tls_server_name = "redis.test";
    assert_locks(uri_of(open_to_all, ""), &options);
}

static void the_uris_address_is_what_is_verified_without_a_name(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    assert_locks(uri_of(open_to_all, ""), &options);
}

static void a_waiter_is_served_over_tls(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    redlock_client *holder = NULL, *client = NULL;
    redlock_lock *first = NULL, *second = NULL;
    (void)state;

    assert_int_equal(redlock_open(uri_of(open_to_all, ""), &options, &holder), REDLOCK_OK);
    assert_int_equal(redlock_open(uri_of(open_to_all, ""), &options, &client), REDLOCK_OK);
    assert_int_equal(redlock_acquire(holder, "waited:tls",
                                     REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300)),
                                     &first),
                     REDLOCK_OK);
    assert_int_equal(
        redlock_acquire(client, "waited:tls", REDLOCK_OPTIONS(.wait_ms = 30000), &second),
        REDLOCK_OK);
    assert_true(redlock_fence(second) > redlock_fence(first));
    assert_int_equal(redlock_release(second), REDLOCK_OK);
    assert_int_equal(redlock_release(first), REDLOCK_LOST);
    assert_int_equal(redlock_close(holder), REDLOCK_OK);
    assert_int_equal(redlock_close(client), REDLOCK_OK);
}

static void another_name_is_refused(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.tls_server_name = "other.test";
    assert_refused(uri_of(open_to_all, ""), &options, REDLOCK_ERR_TLS, "refused for other.test");
}

static void another_authority_is_refused(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.tls_ca_file = authority_path(stranger, "ca.pem");
    assert_refused(uri_of(open_to_all, ""), &options, REDLOCK_ERR_TLS,
                   "the certificate is refused");
}

static void verification_can_be_skipped(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.tls_ca_file = NULL;
    options.tls_server_name = "other.test";
    options.tls_skip_verification = true;
    assert_locks(uri_of(open_to_all, ""), &options);
}

static void a_client_certificate_opens_the_server_that_asks_for_one(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.tls_certificate_file = authority_path(ours, "client.pem");
    options.tls_key_file = authority_path(ours, "client.key");
    assert_locks(uri_of(asking, ""), &options);
}

static void without_a_client_certificate_the_server_that_asks_refuses(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.name = "nobody"; /* a greeting: its answer is what tells that we are not let in */
    assert_refused(uri_of(asking, ""), &options, REDLOCK_ERR_TLS, "certificate required");
}

static void user_and_password_travel_over_tls(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    freeReplyObject(server_command(open_to_all, "ACL SETUSER ann on >secret ~* &* +@all"));
    assert_locks(uri_of(open_to_all, "ann:secret@"), &options);
    assert_refused(uri_of(open_to_all, "ann:wrong@"), &options, REDLOCK_ERR_DENIED, "");
    assert_null(strstr(detail.text, "wrong@"));
}

/* Such a server waits for the rest of what it takes for a command, or complains of it: either way
 * the connection's own deadline ends it. */
static void a_server_without_tls_is_an_error_within_the_deadline(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    redlock_client *client = NULL;
    (void)state;

    options.connect_timeout_ms = 500;
    redlock_status status = redlock_open(uri_of(plain, ""), &options, &client);
    assert_null(client);
    assert_true(status == REDLOCK_ERR_TLS || status == REDLOCK_ERR_TIMEOUT ||
                status == REDLOCK_ERR_CONNECT);
}

static void a_missing_file_fails_before_anything_is_sent(void **state)
{
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    (void)state;

    options.connect_now = false;
    options.tls_ca_file = "/nonexistent/ca.pem";
    assert_refused(uri_of(open_to_all, ""), &options, REDLOCK_ERR_TLS,
                   "/nonexistent/ca.pem: no such file");
}

/* ---- Files that are replaced ------------------------------------------------------------------*/

/* A server that asks for certificates, and a client: each reads files of its own. */
static authority *client_side, *server_side;
static _Atomic int refusals, warnings;

static void count_lines(void *arg, redlock_level level, const char *line)
{
    (void)arg;
    if (strstr(line, "the certificate is refused") != NULL) atomic_fetch_add(&refusals, 1);
    if (level == REDLOCK_LOG_WARNING && strstr(line, "TLS files") != NULL)
        atomic_fetch_add(&warnings, 1);
}

/* One file after the other: in between, a certificate has another's key. */
static void install(authority *to, authority *from, const char *stem)
{
    char certificate[32], key[32];
    (void)snprintf(certificate, sizeof certificate, "%s.pem", stem);
    (void)snprintf(key, sizeof key, "%s.key", stem);
    authority_copy(to, "ca.pem", from, "ca.pem");
    authority_copy(to, "used.pem", from, certificate);
    authority_copy(to, "used.key", from, key);
}

static server *start_replaceable(void)
{
    char arguments[768];
    (void)snprintf(arguments, sizeof arguments,
                   "--port 0 --tls-port {port} --tls-auth-clients yes --tls-cert-file %s "
                   "--tls-key-file %s --tls-ca-cert-file %s --appendonly yes --appendfsync always",
                   authority_path(server_side, "used.pem"), authority_path(server_side, "used.key"),
                   authority_path(server_side, "ca.pem"));
    return server_start_tcp(arguments);
}

static redlock_client *open_replaceable(const server *at)
{
    redlock_client *client = NULL;
    redlock_detail detail = {""};
    redlock_client_options options = trusting(&detail);
    options.tls_ca_file = authority_path(client_side, "ca.pem");
    options.tls_certificate_file = authority_path(client_side, "used.pem");
    options.tls_key_file = authority_path(client_side, "used.key");
    options.log = count_lines;
    options.log_level = REDLOCK_LOG_DEBUG;
    if (redlock_open(uri_of(at, ""), &options, &client) != REDLOCK_OK) fail_msg("%s", detail.text);
    return client;
}

static bool was_refused(void *arg)
{
    (void)arg;
    return atomic_load(&refusals) > 0;
}

typedef struct renewals {
    const redlock_client *client;
    uint64_t least;
} renewals;

static uint64_t count_renewals(const redlock_client *client)
{
    redlock_stats stats;
    redlock_stats_read(client, &stats, sizeof stats);
    return stats.renewed;
}

static bool were_made(void *arg)
{
    const renewals *self = arg;
    return count_renewals(self->client) >= self->least;
}

static void await_a_renewal(const redlock_client *client)
{
    renewals more = {client, count_renewals(client) + 1};
    eventually(were_made, &more);
}

static redlock_lock *take_renewed(redlock_client *client, int64_t ttl_ms)
{
    redlock_lock *lock = NULL;
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(ttl_ms), .auto_renew = true);
    assert_int_equal(redlock_acquire(client, "kept", options, &lock), REDLOCK_OK);
    return lock;
}

/* First the server's, so that the client meets one that it does not trust as yet. */
static void a_lock_is_kept_while_all_certificates_are_replaced(void **state)
{
    server *at = start_replaceable();
    redlock_client *client = open_replaceable(at);
    redlock_lock *lock = take_renewed(client, 6000);
    uint64_t fence = redlock_fence(lock);
    (void)state;

    server_kill(at);
    install(server_side, stranger, "server");
    server_restart(at);
    eventually(was_refused, NULL);
    install(client_side, stranger, "client");
    await_a_renewal(client);
    assert_true(redlock_is_held(lock));
    assert_true(redlock_fence(lock) == fence);
    assert_int_equal(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(redlock_close(client), REDLOCK_OK);
    server_stop(at);
}

static void files_that_cannot_be_read_are_told_once_and_the_former_serve(void **state)
{
    server *at = start_replaceable();
    redlock_client *client = open_replaceable(at);
    redlock_lock *lock = take_renewed(client, 1200);
    (void)state;

    authority_scribble(client_side, "used.pem", "half a certificate\n");
    for (int i = 0; i < 3; i++) {
        server_number(at, "CLIENT KILL TYPE normal");
        await_a_renewal(client);
    }
    assert_int_equal(atomic_load(&warnings), 1);
    assert_int_equal(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(redlock_close(client), REDLOCK_OK);
    server_stop(at);
}

static int begin_replaceable(void **state)
{
    (void)state;
    client_side = authority_open();
    server_side = authority_open();
    atomic_store(&refusals, 0);
    atomic_store(&warnings, 0);
    install(server_side, ours, "server");
    install(client_side, ours, "client");
    return 0;
}

static int end_replaceable(void **state)
{
    (void)state;
    authority_close(server_side);
    authority_close(client_side);
    return 0;
}

#define REPLACEABLE(name) cmocka_unit_test_setup_teardown(name, begin_replaceable, end_replaceable)

/* ---- */

static server *start_with_tls(const char *auth_clients)
{
    char arguments[512];

    (void)snprintf(
        arguments, sizeof arguments,
        "--port 0 --tls-port {port} --tls-cert-file %s --tls-key-file %s --tls-ca-cert-file %s "
        "--tls-auth-clients %s",
        authority_path(ours, "server.pem"), authority_path(ours, "server.key"),
        authority_path(ours, "ca.pem"), auth_clients);
    return server_start_tcp(arguments);
}

static int start(void **state)
{
    (void)state;
    ours = authority_open();
    stranger = authority_open();
    authority_issue(ours, "server", "DNS:redis.test,IP:127.0.0.1", CERTIFICATE_VALID);
    authority_issue(ours, "client", NULL, CERTIFICATE_VALID);
    authority_issue(stranger, "server", "IP:127.0.0.1", CERTIFICATE_VALID);
    authority_issue(stranger, "client", NULL, CERTIFICATE_VALID);
    open_to_all = start_with_tls("no");
    asking = start_with_tls("yes");
    plain = server_start_tcp(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(plain);
    server_stop(asking);
    server_stop(open_to_all);
    authority_close(stranger);
    authority_close(ours);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_held_over_tls_by_a_verified_name),
        cmocka_unit_test(the_uris_address_is_what_is_verified_without_a_name),
        cmocka_unit_test(a_waiter_is_served_over_tls),
        cmocka_unit_test(another_name_is_refused),
        cmocka_unit_test(another_authority_is_refused),
        cmocka_unit_test(verification_can_be_skipped),
        cmocka_unit_test(a_client_certificate_opens_the_server_that_asks_for_one),
        cmocka_unit_test(without_a_client_certificate_the_server_that_asks_refuses),
        cmocka_unit_test(user_and_password_travel_over_tls),
        cmocka_unit_test(a_server_without_tls_is_an_error_within_the_deadline),
        cmocka_unit_test(a_missing_file_fails_before_anything_is_sent),
        REPLACEABLE(a_lock_is_kept_while_all_certificates_are_replaced),
        REPLACEABLE(files_that_cannot_be_read_are_told_once_and_the_former_serve),
    };
    return cmocka_run_group_tests_name("live tls", tests, start, stop);
}

#endif
