/* SPDX-License-Identifier: MIT
 * Any bytes as a URI: what is accepted is within bounds and, written out again, reads as the same;
 * what is refused leaves nothing but a complaint that names a byte of the URI. */

/* Parses: topology/endpoint.c wire/decimal.h */
#include <stdio.h>

#include "fuzz.h"

#include "topology/endpoint.h"

enum { URI_MOST = 3 * 2 * CREDENTIAL_MOST + 1024 };

static endpoint_login login, login_again; /* as whom, in the first place and of what was written */

static void check_bounds(const endpoint *of, const redlock_detail *detail)
{
    must(detail->text[0] == '\0');
    must(memchr(of->host, '\0', sizeof of->host) != NULL && of->host[0] != '\0');
    must(memchr(login.user, '\0', sizeof login.user) != NULL);
    must(memchr(login.password, '\0', sizeof login.password) != NULL);
    must(login.user[0] == '\0' || login.password[0] != '\0');
    must(of->database >= 0 && !(of->use_tls && of->is_unix));
    must(of->is_unix ? of->host[0] == '/' && strlen(of->host) <= 107 : of->port > 0);
    must(strpbrk(of->host, "\r\n\t") == NULL &&
         (of->is_unix || strpbrk(of->host, " @/?#[]") == NULL));
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

/* The one spelling of an endpoint in which nothing is left out. */
static void write_uri(char out[URI_MOST], const endpoint *of)
{
    char *at = put(out, of->is_unix ? "unix://" : of->use_tls ? "rediss://" : "redis://");
    bool is_address = !of->is_unix && strchr(of->host, ':') != NULL;

    at = put_credentials(at);
    if (is_address) *at++ = '[';
    at = put(at, of->host);
    if (is_address) *at++ = ']';
    if (of->is_unix) sprintf(at, "?db=%d", of->database);
    else sprintf(at, ":%d/%d", of->port, of->database);
}

static void check_accepted(const endpoint *of, const redlock_detail *detail)
{
    static char uri[URI_MOST];
    endpoint again;

    check_bounds(of, detail);
    write_uri(uri, of);
    must(endpoint_parse(&again, &login_again, uri, NULL) == REDLOCK_OK);
    must(strcmp(login_again.user, login.user) == 0);
    must(strcmp(login_again.password, login.password) == 0);
    must(strcmp(again.host, of->host) == 0 && again.database == of->database);
    must(again.port == of->port && again.use_tls == of->use_tls && again.is_unix == of->is_unix);
}

static void check_refused(const endpoint *of, const redlock_detail *detail, size_t uri_length)
{
    static const endpoint nothing;
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
    endpoint out, blind;
    redlock_detail detail;

    if (uri == NULL) return 0;
    if (size > 0) memcpy(uri, data, size);
    uri[size] = '\0';

    redlock_status st = endpoint_parse(&out, &login, uri, &detail);

    must(st == REDLOCK_OK || st == REDLOCK_ERR_URI);
    must(endpoint_parse(&blind, &login_again, uri, NULL) == st);
    must(memcmp(&blind, &out, sizeof out) == 0);
    must(memcmp(&login_again, &login, sizeof login) == 0);
    if (st == REDLOCK_OK) check_accepted(&out, &detail);
    else check_refused(&out, &detail, strlen(uri));
    free(uri);
    return 0;
}

static const char *const parts[] = {"redis://",
                                    "rediss://",
                                    "valkey://",
                                    "valkeys://",
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
                                    "redis://a:0",

                                    "redis://u:%00@a",
                                    "[fe80::1%eth0]:1/2147483647",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
#include "driver.h"
