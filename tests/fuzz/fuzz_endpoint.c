/* SPDX-License-Identifier: MIT
 * Any bytes as a URI: what is accepted is within bounds, and what is refused leaves nothing but a printable complaint.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "topology/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so) abort();
}

static void check_accepted(const endpoint *of, const redlock_detail *detail)
{
    must(detail->text[0] == '\0');
    must(memchr(of->host, '\0', sizeof of->host) != NULL && of->host[0] != '\0');
    must(memchr(of->user, '\0', sizeof of->user) != NULL);
    must(memchr(of->password, '\0', sizeof of->password) != NULL);
    must(of->user[0] == '\0' || of->password[0] != '\0');
    must(of->database >= 0);
    must(of->is_unix ? of->host[0] == '/' && strlen(of->host) <= 107 : of->port > 0);
    must(strpbrk(of->host, "\r\n\t") == NULL && (of->is_unix || strpbrk(of->host, " @/?#[]") == NULL));
}

static void check_refused(const endpoint *of, const redlock_detail *detail)
{
    static const endpoint nothing;

    must(memcmp(of, &nothing, sizeof nothing) == 0);
    must(memchr(detail->text, '\0', sizeof detail->text) != NULL && detail->text[0] != '\0');
    for (const char *at = detail->text; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *uri = malloc(size + 1);
    endpoint out;
    redlock_detail detail;

    if (uri == NULL) return 0;
    if (size > 0) memcpy(uri, data, size);
    uri[size] = '\0';

    redlock_status st = endpoint_parse(&out, uri, &detail);

    must(st == REDLOCK_OK || st == REDLOCK_ERR_URI);
    if (st == REDLOCK_OK) {
        check_accepted(&out, &detail);
    } else {
        check_refused(&out, &detail);
    }
    free(uri);
    return 0;
}

#ifdef FUZZ_STANDALONE
static const char *const parts[] = {
    "redis://", "rediss://", "unix://", "redis",     "://",          ":",    "/",     "@",          "[",
    "]",        "[::1]",     "::1",     "127.0.0.1", "localhost",    "6379", "65535", "65536",      "0",
    "-1",       "?db=",      "?db=3",   "/15",       "db",           "&",    "=",     "%",          "%2",
    "%40",      "%00",       "%0a",     "%25",       "user:secret@", "user", "a",     "tmp/s.sock", "#",
    "\\",       "\t",        "\n",      "\x7f",      "\xff",         " "};
#include "standalone.h"
#endif
