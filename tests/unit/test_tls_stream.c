/* SPDX-License-Identifier: MIT
 * net/tls: bytes through a session, and its ends. */
#include "unit/tls_fixture.h"

/* ---- Bytes ------------------------------------------------------------------------------------*/

static char *pattern(void)
{
    char *bytes = malloc(LARGE);

    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE; i++) bytes[i] = (char)(i * 31 + i / 251);
    return bytes;
}

/* Offers a copy that is gone afterwards, as that of a queue which moved its bytes. */
static enum tls_result write_copy(tls_session *client, char *copy, const char *bytes, size_t size,
                                  size_t *count)
{
    memcpy(copy, bytes, size);
    enum tls_result result = tls_write(client, copy, size, count);
    memset(copy, 0, size);
    return result;
}

static void much_is_written_in_pieces_from_a_buffer_that_moves(void **state)
{
    ends it = {.name = "redis.test"};
    char *sent = pattern(), *got = calloc(1, LARGE), *copies[2] = {pattern(), pattern()};
    size_t out = 0, in = 0, waits = 0;
    (void)state;

    assert_connects(&it);
    for (int i = 0; i < STEPS && in < LARGE; i++) {
        size_t count = 0;
        if (out < LARGE &&
            write_copy(it.client, copies[i % 2], sent + out, LARGE - out, &count) == TLS_WANT_WRITE)
            waits++;
        if (out == 0) assert_int_equal(count, RECORD); /* a piece is done when it is sent */
        out += count;
        if (i % 8 != 0) continue; /* a slow reader, so that the socket fills */
        int read = SSL_read(it.server, got + in, (int)(LARGE - in));
        if (read > 0) in += (size_t)read;
    }
    assert_int_equal(in, LARGE);
    assert_memory_equal(got, sent, LARGE);
    assert_true(waits > 0);
    free(copies[0]);
    free(copies[1]);
    free(sent);
    free(got);
    close_ends(&it);
}

static void much_is_read_in_pieces(void **state)
{
    ends it = {.name = "redis.test"};
    char *sent = pattern(), *got = calloc(1, LARGE);
    size_t out = 0, in = 0;
    (void)state;

    assert_connects(&it);
    SSL_set_mode(it.server, SSL_MODE_ENABLE_PARTIAL_WRITE);
    for (int i = 0; i < STEPS && in < LARGE; i++) {
        size_t count;
        int wrote = out < LARGE ? SSL_write(it.server, sent + out, (int)(LARGE - out)) : 0;
        if (wrote > 0) out += (size_t)wrote;
        assert_true(drain(&it, got + in, LARGE - in, &count) <= TLS_WANT_READ);
        in += count;
    }
    assert_int_equal(in, LARGE);
    assert_memory_equal(got, sent, LARGE);
    free(sent);
    free(got);
    close_ends(&it);
}

static void decrypted_bytes_in_hand_are_pending(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_write(it.server, "0123456789", 10), 10);
    assert_false(tls_has_pending(it.client));
    assert_int_equal(tls_read(it.client, got, 4, &count), TLS_DONE);
    assert_int_equal(count, 4);
    assert_true(tls_has_pending(it.client));
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_DONE);
    assert_int_equal(count, 6);
    assert_false(tls_has_pending(it.client));
    close_ends(&it);
}

static void tickets_and_key_updates_are_no_bytes(void **state)
{
    ends it = {.server_version = TLS1_3_VERSION};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
    assert_int_equal(SSL_key_update(it.server, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_client_gets(&it, "+PONG");
    assert_server_gets(&it, "PING");
    close_ends(&it);
}

static void a_renegotiation_is_refused(void **state)
{
    ends it = {.server_version = TLS1_2_VERSION};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_renegotiate(it.server), 1);
    assert_int_equal(SSL_do_handshake(it.server), 1); /* asks for it */
    assert_int_equal(tls_read(it.client, got, sizeof got, &count), TLS_WANT_READ);
    ERR_clear_error();
    assert_int_equal(SSL_read(it.server, got, sizeof got), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    close_ends(&it);
}

/* ---- Ends -------------------------------------------------------------------------------------*/

static void a_reset_while_writing_raises_no_signal(void **state)
{
    ends it = {.name = "redis.test"};
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_DONE);
    hang_up(&it);
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_CLOSED);
    assert_int_equal(count, 0);
    assert_string_equal(tls_session_error(it.client), "the connection ended: reset by the server");
    assert_int_equal(tls_write(it.client, "PING", 4, &count), TLS_CLOSED);
    assert_int_equal(pipe_signals, 0);
    close_ends(&it);
}

static void an_end_of_file_is_a_closed_connection(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_write(it.server, "+PONG", 5), 5);
    hang_up(&it);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_CLOSED);
    assert_int_equal(count, 5);
    assert_string_equal(tls_session_error(it.client), "the connection ended: end of file");
    close_ends(&it);
}

static void a_proper_close_is_a_closed_connection(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(SSL_shutdown(it.server), 0);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_CLOSED);
    assert_string_equal(tls_session_error(it.client), "the server closed the connection");
    close_ends(&it);
}

static void a_forged_record_is_a_failure(void **state)
{
    const char record[] = "\x17\x03\x03\x00\x20 not what the key would have made";
    ends it = {.name = "redis.test"};
    char got[64];
    size_t count;
    (void)state;

    assert_connects(&it);
    assert_int_equal(send(it.fds[1], record, 5 + 32, 0), 5 + 32);
    assert_int_equal(drain(&it, got, sizeof got, &count), TLS_FAILED);
    assert_int_equal(count, 0);
    assert_non_null(strstr(tls_session_error(it.client), "TLS failed: "));
    close_ends(&it);
}

static void freeing_a_session_sends_nothing(void **state)
{
    ends it = {.name = "redis.test"};
    char got[16];
    (void)state;

    assert_connects(&it);
    tls_session_free(it.client);
    it.client = NULL;
    assert_int_equal(recv(it.fds[1], got, sizeof got, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close_ends(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_is_written_in_pieces_from_a_buffer_that_moves),
        cmocka_unit_test(much_is_read_in_pieces),
        cmocka_unit_test(decrypted_bytes_in_hand_are_pending),
        cmocka_unit_test(tickets_and_key_updates_are_no_bytes),
        cmocka_unit_test(a_renegotiation_is_refused),
        cmocka_unit_test(a_reset_while_writing_raises_no_signal),
        cmocka_unit_test(an_end_of_file_is_a_closed_connection),
        cmocka_unit_test(a_proper_close_is_a_closed_connection),
        cmocka_unit_test(a_forged_record_is_a_failure),
        cmocka_unit_test(freeing_a_session_sends_nothing),
    };
    return cmocka_run_group_tests_name("tls stream", tests, make_certificates, remove_certificates);
}
