/* SPDX-License-Identifier: MIT
 * Any bytes as a redirect: a regular expression says which are one, and those that are, written out
 * again, are the same bytes; of others nothing is left. */

/* Parses: wire/redirect.c wire/decimal.h */
#include <stdio.h>

#include "grammar.h"

#include "wire/redirect.h"

static const char *host_of(const char *text) { return strchr(strchr(text, ' ') + 1, ' ') + 1; }

static bool leads_somewhere(const char *text)
{
    static grammar redirects = {.pattern = "^(MOVED|ASK) " GRAMMAR_NUMBER " " GRAMMAR_HOST
                                           ":" GRAMMAR_NUMBER "$"};

    if (!grammar_fits(&redirects, text)) return false;

    const char *host = host_of(text), *colon = strrchr(text, ':');
    unsigned long long slot = strtoull(strchr(text, ' ') + 1, NULL, 10);
    unsigned long long port = strtoull(colon + 1, NULL, 10);

    return slot <= 16383 && port >= 1 && port <= 65535 &&
           grammar_is_short(host, (size_t)(colon - host));
}

static void check_read(const redirect *got, const char *text)
{
    char again[REDIRECT_HOST_SIZE + 64];
    bool has_brackets = *host_of(text) == '[';

    must(memchr(got->host, '\0', sizeof got->host) != NULL);
    snprintf(again, sizeof again, "%s %u %s%s%s:%u", got->is_ask ? "ASK" : "MOVED",
             (unsigned)got->slot, has_brackets ? "[" : "", got->host, has_brackets ? "]" : "",
             (unsigned)got->port);
    must(strcmp(again, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const redirect nothing;
    redirect got;
    char *text = calloc(1, size + 1);

    if (text == NULL) exit(1);
    if (size > 0) memcpy(text, data, size);
    memset(&got, 0xa5, sizeof got);

    bool is_read = redirect_read(&got, (const char *)data, size);

    must(is_read == (strlen(text) == size && leads_somewhere(text)));
    if (is_read) check_read(&got, text);
    else must(memcmp(&got, &nothing, sizeof got) == 0);
    free(text);
    return 0;
}

static const char *const parts[] = {"MOVED ",
                                    "ASK ",
                                    "MOVED 3999 127.0.0.1:6381",
                                    "MOVED 16383 ::1:65535",
                                    "ASK 0 [::1]:7000",
                                    "MOVED 1 ?:7000",
                                    "MOVED 1 a-1.b_c:1",
                                    "MOVED 1 []:1",
                                    "MOVED 1 ::1]:1",
                                    "moved 1 h:1",
                                    "ASK 1 :7000",
                                    "MOVED 16384 ",
                                    "0 ",
                                    "16383 ",
                                    "1 ",
                                    "01 ",
                                    "-1 ",
                                    "18446744073709551617",
                                    " ",
                                    ":",
                                    "::1",
                                    "fe80::1%eth0",
                                    "[",
                                    "]",
                                    "[]",
                                    "?",
                                    "%",
                                    "a-1.b_c",
                                    "10.0.0.1",
                                    ":1",
                                    ":7000",
                                    ":65535",
                                    ":65536",
                                    ":0",
                                    ":01",
                                    "@17000",
                                    ",name",
                                    "\r\n",
                                    "\xff",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
#include "driver.h"
