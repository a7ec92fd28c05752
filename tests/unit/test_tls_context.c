/* SPDX-License-Identifier: MIT
 * net/tls_context: files, memory, and the error queue that the whole process shares. */
#include "unit/tls_fixture.h"

/* ---- The process ------------------------------------------------------------------------------*/

static void leave_an_error_in_the_queue(void)
{
    assert_null(BIO_new_file("/nonexistent/file", "r"));
    assert_int_not_equal(ERR_peek_error(), 0);
}

static void errors_of_the_program_are_not_taken_for_ours(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    open_ends(&it);
    leave_an_error_in_the_queue();
    assert_int_equal(tls_handshake(it.client), TLS_WANT_READ);
    assert_int_equal(shake(&it), TLS_DONE);
    for (int i = 0; i < 2;
         i++) { /* the first also takes the tickets, another way through OpenSSL */
        leave_an_error_in_the_queue();
        assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
        assert_int_equal(ERR_peek_error(), 0);
    }
    leave_an_error_in_the_queue();
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_DONE);
    assert_int_equal(ERR_peek_error(), 0);
    close_ends(&it);
}

static void *allocate_nothing(void *arg, size_t size)
{
    (void)arg, (void)size;
    return NULL;
}

static void release_nothing(void *arg, void *block) { (void)arg, (void)block; }

static void without_memory_there_is_no_context(void **state)
{
    const memory none = {.allocate = allocate_nothing, .release = release_nothing};
    tls_context *context = (tls_context *)state;

    assert_int_equal(tls_context_new(&context, NULL, &none, NULL), REDLOCK_ERR_MEMORY);
    assert_null(context);
    tls_context_free(NULL);
    tls_session_free(NULL);
}

/* ---- Files ------------------------------------------------------------------------------------*/

static void assert_no_context(const redlock_client_options *options, redlock_status expected,
                              const char *why)
{
    tls_context *context = (tls_context *)&heap;
    redlock_detail detail = {""};

    assert_int_equal(tls_context_new(&context, options, &heap, NULL), expected);
    assert_int_equal(tls_context_new(&context, options, &heap, &detail), expected);
    assert_null(context);
    if (strstr(detail.text, why) == NULL) fail_msg("'%s'", detail.text);
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_missing_file_is_named(void **state)
{
    const char *good = authority_path(ours, "client.pem"),
               *key = authority_path(ours, "client.key");
    const redlock_client_options file = {.tls_ca_file = "/nonexistent\n/ca"};
    const redlock_client_options directory = {.tls_ca_directory = "/nonexistent"};
    const redlock_client_options no_directory = {.tls_ca_directory = good};
    const redlock_client_options certificate = {.tls_certificate_file = "/nonexistent",
                                                .tls_key_file = key};
    const redlock_client_options no_key = {.tls_certificate_file = good,
                                           .tls_key_file = "/nonexistent"};
    (void)state;

    assert_no_context(&file, REDLOCK_ERR_TLS, "tls_ca_file /nonexistent\\x0a/ca: no such file");
    assert_no_context(&directory, REDLOCK_ERR_TLS, "tls_ca_directory /nonexistent: no such file");
    assert_no_context(&no_directory, REDLOCK_ERR_TLS, "client.pem: not a directory");
    assert_no_context(&certificate, REDLOCK_ERR_TLS,
                      "tls_certificate_file /nonexistent: no such file");
    assert_no_context(&no_key, REDLOCK_ERR_TLS, "tls_key_file /nonexistent: no such file");
}

static void a_file_of_something_else_is_named(void **state)
{
    const char *words = authority_path(ours, "words"), *key = authority_path(ours, "client.key");
    const redlock_client_options file = {.tls_ca_file = words};
    const redlock_client_options certificate = {.tls_certificate_file = words, .tls_key_file = key};
    const redlock_client_options no_key = {
        .tls_certificate_file = authority_path(ours, "client.pem"), .tls_key_file = words};
    (void)state;

    assert_no_context(&file, REDLOCK_ERR_TLS, "tls_ca_file /");
    assert_no_context(&certificate, REDLOCK_ERR_TLS, "tls_certificate_file /");
    assert_no_context(&no_key, REDLOCK_ERR_TLS, "tls_key_file /");
}

static void a_key_of_another_certificate_is_named(void **state)
{
    const redlock_client_options options = {
        .tls_certificate_file = authority_path(ours, "client.pem"),
        .tls_key_file = authority_path(ours, "server.key")};
    (void)state;

    assert_no_context(&options, REDLOCK_ERR_TLS,
                      "server.key: the key does not belong to the certificate");
}

static void certificate_and_key_go_together(void **state)
{
    const redlock_client_options no_key = {
        .tls_certificate_file = authority_path(ours, "client.pem")};
    const redlock_client_options no_certificate = {
        .tls_key_file = authority_path(ours, "client.key")};
    (void)state;

    assert_no_context(&no_key, REDLOCK_ERR_ARGUMENT, "go together");
    assert_no_context(&no_certificate, REDLOCK_ERR_ARGUMENT, "go together");
}

static void a_protected_key_is_refused_and_nobody_is_asked(void **state)
{
    const redlock_client_options options = {
        .tls_certificate_file = authority_path(ours, "client.pem"),
        .tls_key_file = authority_path(ours, "locked.key")};
    (void)state;

    assert_no_context(&options, REDLOCK_ERR_TLS, "locked.key: the key is protected by a password");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_the_program_are_not_taken_for_ours),
        cmocka_unit_test(without_memory_there_is_no_context),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_file_of_something_else_is_named),
        cmocka_unit_test(a_key_of_another_certificate_is_named),
        cmocka_unit_test(certificate_and_key_go_together),
        cmocka_unit_test(a_protected_key_is_refused_and_nobody_is_asked),
    };
    return cmocka_run_group_tests_name("tls context", tests, make_certificates,
                                       remove_certificates);
}
