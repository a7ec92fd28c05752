/* SPDX-License-Identifier: MIT
 * Any bytes as a URI: what is accepted is within bounds, has as many servers as it lists, and
 * reads as the same when it is written out again; what is refused leaves nothing but a complaint
 * that names a byte of the URI. */

/* Parses: topology/endpoint.c wire/decimal.h */
#include <stdio.h>

#include "fuzz.h"

#include "topology/endpoint.h"

enum { URI_MOST = 3 * 2 * CREDENTIAL_MOST + ENDPOINTS_MOST * (ENDPOINT_HOST_SIZE + 16) + 64 };

static endpoint_login login, login_again; /* as whom, in the first place and of what was written */

static void check_bounds(const endpoint *of)
{
    must(memchr(of->host, '\0', sizeof of->host) != NULL && of->host[0] != '\0');
    must(of->database >= 0 && !(of->use_tls && of->is_unix));
    must(of->is_unix ? of->host[0] == '/' && strlen(of->host) <= 107 : of->port > 0);
    must(strpbrk(of->host, "\r\n\t") == NULL &&
         (of->is_unix || strpbrk(of->host, " ,@/?#[]") == NULL));
}

static void check_login(void)
{
    must(memchr(login.user, '\0', sizeof login.user) != NULL);
    must(memchr(login.password, '\0', sizeof login.password) != NULL);
    must(login.user[0] == '\0' || login.password[0] != '\0');
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static size_t commas_in(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) count += *text == ',';
    return count;
}

/* In a cluster's URI a comma stands between two seeds, and nowhere else. */
static void check_list(const endpoint_list *of, const char *uri)
{
    static const endpoint nothing;
    bool is_cluster = of->kind == TOPOLOGY_CLUSTER;
    bool is_secure = begins_with(uri, "rediss") || begins_with(uri, "valkeys");

    must(is_cluster || of->kind == TOPOLOGY_SINGLE);
    must(begins_with(uri + strcspn(uri, "+:"), "+cluster://") == is_cluster);
    must(of->count == (is_cluster ? commas_in(uri) + 1 : 1) && of->count <= ENDPOINTS_MOST);
    for (size_t i = 0; i < of->count; i++) {
        const endpoint *each = &of->at[i];

        check_bounds(each);
        must(each->use_tls == is_secure);
        must(!is_cluster || (!each->is_unix && each->database == 0));
    }
    for (size_t i = of->count; i < ENDPOINTS_MOST; i++)
        must(memcmp(&of->at[i], &nothing, sizeof nothing) == 0);
}

static char *put(char *at, const char *text)
{
    size_t length = strlen(text);

    memcpy(at, text, length + 1);
    return at + length;
}

static char *put_encoded(char *at, const char *text)
{
    for (; *text != '\0'; text++) at += sprintf(at, "%%%02x", (unsigned char)*text);
    return at;
}

static char *put_credentials(char *at)
{
    if (login.password[0] == '\0') return at;
    at = put_encoded(at, login.user);
    *at++ = ':';
    at = put_encoded(at, login.password);
    *at++ = '@';
    return at;
}

static char *put_scheme(char *at, const endpoint_list *of, const char *word)
{
    if (of->at[0].is_unix) return put(at, "unix://");
    return at + sprintf(at, "%s%s%s://", word, of->at[0].use_tls ? "s" : "",
                        of->kind == TOPOLOGY_CLUSTER ? "+cluster" : "");
}

static char *put_server(char *at, const endpoint *of)
{
    const char *form = strchr(of->host, ':') != NULL ? "[%s]:%d" : "%s:%d";

    return of->is_unix ? put(at, of->host) : at + sprintf(at, form, of->host, of->port);
}

/* A spelling in which nothing is left out. */
static void write_uri(char out[URI_MOST], const endpoint_list *of, const char *word)
{
    char *at = put_credentials(put_scheme(out, of, word));

    for (size_t i = 0; i < of->count; i++) at = put_server(i > 0 ? put(at, ",") : at, &of->at[i]);
    sprintf(at, of->at[0].is_unix ? "?db=%d" : "/%d", of->at[0].database);
}

static void check_again(const endpoint_list *of, const char *word)
{
    static char uri[URI_MOST];
    static endpoint_list again;

    write_uri(uri, of, word);
    must(endpoint_parse(&again, &login_again, uri, NULL) == REDLOCK_OK);
    must(memcmp(&again, of, sizeof again) == 0);
    must(memcmp(&login_again, &login, sizeof login) == 0);
}

static void check_accepted(const endpoint_list *of, const redlock_detail *detail, const char *uri)
{
    must(detail->text[0] == '\0');
    check_login();
    check_list(of, uri);
    check_again(of, "redis");
    check_again(of, "valkey");
}

static void check_refused(const endpoint_list *of, const redlock_detail *detail, size_t uri_length)
{
    static const endpoint_list nothing;
    static const endpoint_login nobody;
    size_t byte = 0;

    must(memcmp(of, &nothing, sizeof nothing) == 0);
    must(memcmp(&login, &nobody, sizeof nobody) == 0);
    must(memchr(detail->text, '\0', sizeof detail->text) != NULL && detail->text[0] != '\0');
    for (const char *at = detail->text; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
    const char *where = strstr(detail->text, ", at byte ");
    must(where != NULL && sscanf(where, ", at byte %zu of the URI", &byte) == 1);
    must(byte >= 1 && byte <= uri_length + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *uri = malloc(size + 1);
    static endpoint_list out, blind;
    redlock_detail detail;

    if (uri == NULL) return 0;
    if (size > 0) memcpy(uri, data, size);
    uri[size] = '\0';

    redlock_status st = endpoint_parse(&out, &login, uri, &detail);

    must(st == REDLOCK_OK || st == REDLOCK_ERR_URI);
    must(endpoint_parse(&blind, &login_again, uri, NULL) == st);
    must(memcmp(&blind, &out, sizeof out) == 0);
    must(memcmp(&login_again, &login, sizeof login) == 0);
    if (st == REDLOCK_OK) check_accepted(&out, &detail, uri);
    else check_refused(&out, &detail, strlen(uri));
    free(uri);
    return 0;
}

static const char *const parts[] = {"redis://",
                                    "rediss://",
                                    "valkey://",
                                    "valkeys://",
                                    "redis+cluster://",
                                    "rediss+cluster://",
                                    "valkey+cluster://",
                                    "valkeys+cluster://",
                                    "unix://",
                                    "redis",
                                    "://",
                                    ":",
                                    "/",
                                    "@",
                                    "[",
                                    "]",
                                    "[::1]",
                                    "::1",
                                    "127.0.0.1",
                                    "localhost",
                                    "6379",
                                    "65535",
                                    "65536",
                                    "0",
                                    "-1",
                                    "?db=",
                                    "?db=3",
                                    "/15",
                                    "db",
                                    "&",
                                    "=",
                                    "%",
                                    "%2",
                                    "%40",
                                    "%00",
                                    "%0a",
                                    "%25",
                                    "user:secret@",
                                    "user",
                                    "a",
                                    "tmp/s.sock",
                                    "#",
                                    "\\",
                                    "\t",
                                    "\n",
                                    "\x7f",
                                    "\xff",
                                    " ",
                                    ",",
                                    "/0",
                                    "+cluster",
                                    "redis+cluster://a,b:1",
                                    "a:1,b,[::1]:7",
                                    ",a,a,a,a,a,a",
                                    "redis://a:0",

                                    "redis://u:%00@a",
                                    "[fe80::1%eth0]:1/2147483647",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
#include "driver.h"
