/* SPDX-License-Identifier: MIT
 * net/tls_context: files, memory, and the error queue that the whole process shares. */
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>

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

/* ---- Files that are replaced ------------------------------------------------------------------*/

enum { NOW_US = 5000000, SECOND_US = 1000000 };

static const char *put(authority *from, const char *file, const char *as)
{
    authority_copy(ours, as, from, file);
    return authority_path(ours, as);
}

static void assert_refreshed(ends *it)
{
    redlock_detail why = {""};

    if (!tls_context_refresh(it->context, NOW_US, &why)) fail_msg("%s", why.text);
    assert_int_equal(ERR_peek_error(), 0);
}

static void assert_not_refreshed(ends *it, const char *expected)
{
    redlock_detail why = {""};

    assert_false(tls_context_refresh(it->context, NOW_US, &why));
    if (strstr(why.text, expected) == NULL) fail_msg("'%s'", why.text);
    assert_int_equal(ERR_peek_error(), 0);
}

static void assert_meets(ends *it, enum tls_result expected)
{
    meet_again(it);
    assert_int_equal(shake(it), expected);
}

static void an_authority_that_is_replaced_is_read_before_the_next_session(void **state)
{
    ends it = {.options.tls_ca_file = put(ours, "ca.pem", "changing.pem")};
    (void)state;

    assert_connects(&it);
    put(stranger, "ca.pem", "changing.pem");
    assert_refreshed(&it);
    assert_server_gets(&it, "PING"); /* who is connected stays so */
    assert_meets(&it, TLS_FAILED);
    put(ours, "ca.pem", "changing.pem");
    assert_refreshed(&it);
    assert_meets(&it, TLS_DONE);
    close_ends(&it);
}

static void what_cannot_be_read_leaves_the_former_in_use_and_is_told_once(void **state)
{
    ends it = {.options.tls_ca_file = put(ours, "ca.pem", "changing.pem")};
    (void)state;

    assert_connects(&it);
    put(ours, "words", "changing.pem");
    assert_not_refreshed(&it, "tls_ca_file");
    it.certificate = "expired";
    assert_meets(&it, TLS_FAILED);
    assert_refreshed(&it); /* it is still so, and that is known */
    it.certificate = "server";
    assert_meets(&it, TLS_DONE);
    assert_int_equal(remove(it.options.tls_ca_file), 0);
    assert_not_refreshed(&it, "no such file");
    assert_meets(&it, TLS_DONE);
    put(stranger, "ca.pem", "changing.pem");
    assert_refreshed(&it);
    assert_meets(&it, TLS_FAILED);
    close_ends(&it);
}

static void a_certificate_whose_key_is_still_to_come_is_not_used(void **state)
{
    ends it = {.wants_certificate = true};
    (void)state;

    authority_issue(ours, "renewed", NULL, CERTIFICATE_VALID);
    it.options.tls_certificate_file = put(ours, "client.pem", "changing.pem");
    it.options.tls_key_file = put(ours, "client.key", "changing.key");
    assert_connects(&it);
    put(ours, "renewed.pem", "changing.pem");
    assert_not_refreshed(&it, "the key does not belong to the certificate");
    assert_meets(&it, TLS_DONE);
    put(ours, "renewed.key", "changing.key");
    assert_refreshed(&it);
    assert_meets(&it, TLS_DONE);
    X509 *shown = SSL_get_peer_certificate(it.server);
    assert_int_equal(
        X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, NULL, 0), 7);
    X509_free(shown);
    close_ends(&it);
}

static X509 *read_authority(void)
{
    FILE *file = fopen(authority_path(ours, "ca.pem"), "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);

    assert_non_null(certificate);
    assert_int_equal(fclose(file), 0);
    return certificate;
}

static void write_authority(const char *path, X509 *certificate)
{
    FILE *to = fopen(path, "w");

    assert_non_null(to);
    assert_int_equal(PEM_write_X509(to, certificate), 1);
    assert_int_equal(fclose(to), 0);
}

/* It has the same name then, and another key: as it may have been before it was renewed. */
static void give_another_key(X509 *certificate)
{
    FILE *from = fopen(authority_path(ours, "client.key"), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(from, NULL, NULL, NULL);

    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(fclose(from), 0);
    EVP_PKEY_free(key);
}

/* A file in a directory that is overwritten does not show in the directory, and OpenSSL looks for
 * no name twice. */
static void after_a_failed_handshake_they_are_read_again_once_in_a_second(void **state)
{
    ends it = {.options.tls_ca_directory = authority_directory(ours)};
    X509 *new = read_authority(), *old = read_authority();
    char name[16];
    redlock_detail why;
    (void)state;

    (void)snprintf(name, sizeof name, "%08lx.0", X509_subject_name_hash(new));
    give_another_key(old);
    write_authority(authority_path(ours, name), old);
    open_ends(&it);
    assert_int_equal(shake(&it), TLS_FAILED);
    assert_true(tls_context_refresh(it.context, NOW_US, &why));
    assert_meets(&it, TLS_FAILED);
    write_authority(authority_path(ours, name), new);
    assert_true(tls_context_refresh(it.context, NOW_US + SECOND_US - 1, &why));
    assert_meets(&it, TLS_FAILED);
    assert_true(tls_context_refresh(it.context, NOW_US + SECOND_US, &why));
    assert_meets(&it, TLS_DONE);
    close_ends(&it);
    X509_free(old);
    X509_free(new);
}

static _Atomic bool is_enough;

static void *open_sessions(void *arg)
{
    ends *it = arg;
    redlock_detail why;

    while (!atomic_load(&is_enough)) {
        (void)tls_context_refresh(it->context, NOW_US, &why);
        tls_session *made = tls_session_new(it->context, it->fds[0], "redis.test");
        if (made == NULL) return it;
        tls_session_free(made);
    }
    return NULL;
}

static void threads_begin_sessions_while_files_are_replaced(void **state)
{
    enum { THREADS = 3, ROUNDS = 40 };
    ends it = {.options.tls_ca_file = put(ours, "ca.pem", "changing.pem")};
    pthread_t threads[THREADS];
    void *failed = NULL;
    (void)state;

    open_ends(&it);
    atomic_store(&is_enough, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_sessions, &it), 0);
    for (int i = 0; i < ROUNDS; i++) put(i % 2 ? ours : stranger, "ca.pem", "changing.pem");
    atomic_store(&is_enough, true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_refreshed(&it);
    assert_meets(&it, TLS_DONE);
    close_ends(&it);
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
        cmocka_unit_test(an_authority_that_is_replaced_is_read_before_the_next_session),
        cmocka_unit_test(what_cannot_be_read_leaves_the_former_in_use_and_is_told_once),
        cmocka_unit_test(a_certificate_whose_key_is_still_to_come_is_not_used),
        cmocka_unit_test(after_a_failed_handshake_they_are_read_again_once_in_a_second),
        cmocka_unit_test(threads_begin_sessions_while_files_are_replaced),
    };
    return cmocka_run_group_tests_name("tls context", tests, make_certificates,
                                       remove_certificates);
}
