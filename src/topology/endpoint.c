/* SPDX-License-Identifier: MIT
 * Where servers are and how to greet them: a URI read strictly, from left to right. The rule: a
 * complaint says what is wrong and at which byte, and never repeats a part of the URI, because
 * credentials may be anywhere in a malformed one. Pure.
 *
 *     redis://           [[user]:password@]host[:port]                  [/[db]]
 *     redis+cluster://   [[user]:password@]host[:port][,host[:port]...] [/[0]]
 *     unix://            [[user]:password@]                             /path[?db=n]
 *     `scheme            `authority, up to the first '/' or '?'
 *
 * and rediss, valkey and valkeys for redis. */
#include "topology/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "wire/decimal.h"
#include "wire/text.h"

enum { DEFAULT_PORT = 6379, SUN_PATH_MAX = 107 };

/* A part of the URI: from `at` up to `end`. */
typedef struct uri_part {
    const char *at;
    const char *end;
} uri_part;

typedef struct parser {
    const char *uri;
    endpoint_login *login;
    redlock_detail *detail;
} parser;

static bool refuse_uri(const parser *self, const char *where, const char *why)
{
    if (self->detail == NULL) return false;
    snprintf(self->detail->text, sizeof self->detail->text, "%s, at byte %zu of the URI", why,
             (size_t)(where - self->uri) + 1);
    return false;
}

static size_t part_length(uri_part of) { return (size_t)(of.end - of.at); }

static const char *find_byte(uri_part in, char byte)
{
    return in.at < in.end ? memchr(in.at, byte, part_length(in)) : NULL;
}

static const char *find_last(uri_part in, char byte)
{
    return in.at < in.end ? memrchr(in.at, byte, part_length(in)) : NULL;
}

static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

static int hex_value(char byte)
{
    if (is_digit(byte)) return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* The byte at *at, which may be percent-encoded, and *at moves past it; -1 when it is badly
 * encoded. */
static int decode_byte(const char **at, const char *end)
{
    const char *from = *at;

    if (*from != '%') {
        *at = from + 1;
        return (unsigned char)*from;
    }
    if (end - from < 3 || hex_value(from[1]) < 0 || hex_value(from[2]) < 0) return -1;
    *at = from + 3;
    return hex_value(from[1]) * 16 + hex_value(from[2]);
}

static bool decode(const parser *self, char out[CREDENTIAL_MOST + 1], uri_part from)
{
    const char *at = from.at;
    size_t length = 0;

    while (at < from.end) {
        const char *start = at;
        int byte = decode_byte(&at, from.end);

        if (byte < 0)
            return refuse_uri(self, start,
                              "a '%' in the credentials is not followed by two hexadecimal digits");
        if (byte == 0) return refuse_uri(self, start, "the credentials contain a NUL byte");
        if (length == CREDENTIAL_MOST)
            return refuse_uri(self, start, "the user or the password is too long");
        out[length++] = (char)byte;
    }
    out[length] = '\0';
    return true;
}

static bool parse_credentials(const parser *self, uri_part from)
{
    const char *colon = find_byte(from, ':');

    if (colon == NULL) return refuse_uri(self, from.at, "a user needs a password (user:password@)");
    if (colon + 1 == from.end) return refuse_uri(self, from.end, "the password is empty");
    return decode(self, self->login->user, (uri_part){from.at, colon}) &&
           decode(self, self->login->password, (uri_part){colon + 1, from.end});
}

/* Takes the credentials off the front of an authority. A host has no '@', so the last one ends
 * them. */
static bool take_credentials(const parser *self, uri_part *authority)
{
    const char *sign = find_last(*authority, '@');

    if (sign == NULL) return true;
    if (!parse_credentials(self, (uri_part){authority->at, sign})) return false;
    authority->at = sign + 1;
    return true;
}

static bool copy_host(const parser *self, endpoint *out, uri_part from)
{
    if (from.at == from.end) return refuse_uri(self, from.at, "the host is empty");
    if (part_length(from) >= ENDPOINT_HOST_SIZE)
        return refuse_uri(self, from.at, "the host is too long");
    memcpy(out->host, from.at, part_length(from));
    out->host[part_length(from)] = '\0';
    return true;
}

static bool parse_name(const parser *self, endpoint *out, uri_part from)
{
    for (const char *at = from.at; at < from.end; at++) {
        if (!text_is_host_byte(*at))
            return refuse_uri(self, at, "the host contains a byte that no host has");
    }
    return copy_host(self, out, from);
}

/* What stands in brackets: an IPv6 address, which may have a zone ("fe80::1%eth0"). */
static bool parse_address(const parser *self, endpoint *out, uri_part from)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char binary[16];
    const char *zone = find_byte(from, '%');
    uri_part digits = {from.at, zone != NULL ? zone : from.end};

    if (part_length(digits) >= sizeof address)
        return refuse_uri(self, from.at, "the IPv6 address is malformed");
    memcpy(address, digits.at, part_length(digits));
    address[part_length(digits)] = '\0';
    if (inet_pton(AF_INET6, address, binary) != 1)
        return refuse_uri(self, from.at, "the IPv6 address is malformed");
    if (zone == NULL) return copy_host(self, out, from);
    if (zone + 1 == from.end) return refuse_uri(self, zone, "the IPv6 zone is empty");
    for (const char *at = zone + 1; at < from.end; at++) {
        if (!text_is_host_byte(*at)) return refuse_uri(self, at, "the IPv6 zone is malformed");
    }
    return copy_host(self, out, from);
}

static bool parse_port(const parser *self, endpoint *out, uri_part from)
{
    uint64_t port;

    if (!decimal_read(&port, from.at, part_length(from), UINT16_MAX) || port == 0) {
        return refuse_uri(
            self, from.at,
            "the port is not a number from 1 to 65535 (an IPv6 address stands in brackets)");
    }
    out->port = (uint16_t)port;
    return true;
}

static bool parse_bracketed(const parser *self, endpoint *out, uri_part from, const char **after)
{
    const char *close = find_byte(from, ']');

    if (close == NULL) return refuse_uri(self, from.at, "the '[' of an IPv6 address has no ']'");
    *after = close + 1;
    return parse_address(self, out, (uri_part){from.at + 1, close});
}

static bool parse_host_and_port(const parser *self, endpoint *out, uri_part from)
{
    const char *after = from.end;

    if (from.at < from.end && *from.at == '[') {
        if (!parse_bracketed(self, out, from, &after)) return false;
    } else {
        const char *colon = find_byte(from, ':');

        if (colon != NULL) after = colon;
        if (!parse_name(self, out, (uri_part){from.at, after})) return false;
    }
    if (after == from.end) return true;
    if (*after != ':') return refuse_uri(self, after, "after ']' only a port may follow");
    return parse_port(self, out, (uri_part){after + 1, from.end});
}

static bool parse_database(const parser *self, endpoint *out, uri_part from)
{
    uint64_t database;

    if (!decimal_read(&database, from.at, part_length(from), INT32_MAX)) {
        return refuse_uri(self, from.at, "the database is not a number from 0 to 2147483647");
    }
    out->database = (int)database;
    return true;
}

/* The next of the list. */
static bool parse_server(const parser *self, endpoint_list *out, uri_part from)
{
    endpoint *server = &out->at[out->count++];

    server->port = DEFAULT_PORT;
    return parse_host_and_port(self, server, from);
}

static bool parse_tcp(const parser *self, endpoint_list *out, uri_part from)
{
    uri_part authority = {from.at, from.at + strcspn(from.at, "/?")};
    uri_part path = {authority.end, from.end};

    if (!take_credentials(self, &authority)) return false;
    const char *comma = find_byte(authority, ',');
    if (comma != NULL) return refuse_uri(self, comma, "a list of servers is for redis+cluster://");
    if (!parse_server(self, out, authority)) return false;
    if (path.at == path.end) return true;
    if (*path.at == '?')
        return refuse_uri(self, path.at, "a TCP address takes no query (the database is /db)");
    path.at++;
    return path.at == path.end || parse_database(self, &out->at[0], path);
}

/* Whoever writes credentials before each server would have the first servers taken for a part of a
 * password: a comma in them is refused, unless it is encoded. */
static bool take_cluster_credentials(const parser *self, uri_part *authority)
{
    const char *sign = find_last(*authority, '@');
    const char *comma = sign != NULL ? find_byte((uri_part){authority->at, sign}, ',') : NULL;

    if (comma != NULL) {
        return refuse_uri(self, comma,
                          "credentials stand once, before all servers, and have %2C for ','");
    }
    return take_credentials(self, authority);
}

static bool parse_seeds(const parser *self, endpoint_list *out, uri_part from)
{
    for (;;) {
        const char *comma = find_byte(from, ',');

        if (out->count == ENDPOINTS_MOST)
            return refuse_uri(self, from.at, "there are more than 16 servers");
        if (!parse_server(self, out, (uri_part){from.at, comma != NULL ? comma : from.end}))
            return false;
        if (comma == NULL) return true;
        from.at = comma + 1;
    }
}

static bool parse_cluster(const parser *self, endpoint_list *out, uri_part from)
{
    uri_part authority = {from.at, from.at + strcspn(from.at, "/?")};
    uri_part path = {authority.end, from.end};
    const char *query = find_byte(path, '?');

    out->kind = TOPOLOGY_CLUSTER;
    if (!take_cluster_credentials(self, &authority)) return false;
    if (!parse_seeds(self, out, authority)) return false;
    if (query != NULL) return refuse_uri(self, query, "a cluster takes no query");
    if (part_length(path) <= 1 || (part_length(path) == 2 && path.at[1] == '0')) return true;
    return refuse_uri(self, path.at + 1, "a cluster has database 0 only");
}

static bool parse_query(const parser *self, endpoint *out, uri_part from)
{
    static const char key[] = "db=";
    size_t size = sizeof key - 1;

    if (part_length(from) < size || memcmp(from.at, key, size) != 0) {
        return refuse_uri(self, from.at, "the query is not db=n");
    }
    return parse_database(self, out, (uri_part){from.at + size, from.end});
}

static bool parse_path(const parser *self, endpoint *out, uri_part from)
{
    if (part_length(from) > SUN_PATH_MAX)
        return refuse_uri(self, from.at, "the path is longer than 107 bytes");
    for (const char *at = from.at; at < from.end; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte < ' ' || byte == 0x7f)
            return refuse_uri(self, at, "the path contains a control character");
    }
    return copy_host(self, out, from);
}

static bool parse_unix(const parser *self, endpoint_list *list, uri_part from)
{
    uri_part authority = {from.at, from.at + strcspn(from.at, "/?")};
    const char *query = find_byte((uri_part){authority.end, from.end}, '?');
    uri_part path = {authority.end, query != NULL ? query : from.end};
    endpoint *out = &list->at[list->count++];

    out->is_unix = true;
    if (!take_credentials(self, &authority)) return false;
    if (authority.at != authority.end || path.at == path.end) {
        return refuse_uri(self, authority.at, "the path of the socket does not begin with '/'");
    }
    if (!parse_path(self, out, path)) return false;
    return query == NULL || parse_query(self, out, (uri_part){query + 1, from.end});
}

static const struct uri_scheme {
    const char *name;
    bool use_tls;
    bool (*parse)(const parser *self, endpoint_list *out, uri_part rest);
} schemes[] = {{"redis://", false, parse_tcp},
               {"rediss://", true, parse_tcp},
               {"valkey://", false, parse_tcp},
               {"valkeys://", true, parse_tcp},
               {"redis+cluster://", false, parse_cluster},
               {"rediss+cluster://", true, parse_cluster},
               {"valkey+cluster://", false, parse_cluster},
               {"valkeys+cluster://", true, parse_cluster},
               {"unix://", false, parse_unix}};

static bool take_scheme(uri_part *from, const char *name)
{
    size_t length = strlen(name);

    if (part_length(*from) < length || memcmp(from->at, name, length) != 0) return false;
    from->at += length;
    return true;
}

static bool parse_uri(const parser *self, endpoint_list *out, uri_part from)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (!take_scheme(&from, schemes[i].name)) continue;
        if (!schemes[i].parse(self, out, from)) return false;
        for (size_t k = 0; k < out->count; k++) out->at[k].use_tls = schemes[i].use_tls;
        return true;
    }
    return refuse_uri(self, from.at,
                      "the scheme is none of redis://, rediss://, redis+cluster://, "
                      "rediss+cluster:// (or valkey for redis) and unix://");
}

redlock_status endpoint_parse(endpoint_list *out, endpoint_login *login, const char *uri,
                              redlock_detail *detail)
{
    parser self = {.uri = uri, .login = login, .detail = detail};

    memset(out, 0, sizeof *out);
    memset(login, 0, sizeof *login);
    if (detail != NULL) detail->text[0] = '\0';
    if (uri == NULL) {
        if (detail != NULL) strcpy(detail->text, "there is no URI");
        return REDLOCK_ERR_URI;
    }
    if (parse_uri(&self, out, (uri_part){uri, uri + strlen(uri)})) return REDLOCK_OK;
    /* Half of a list is of no use, and half of a password neither. */
    memset(out, 0, sizeof *out);
    memset(login, 0, sizeof *login);
    return REDLOCK_ERR_URI;
}
