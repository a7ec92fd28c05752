/* SPDX-License-Identifier: MIT
 * Any reply as the table of a cluster, most of them alike to one: each element is written down as a
 * line, and a regular expression says what may be read of it.
 *
 *     (5461 10922 (<127.0.0.1> 7000 <id>) (<10.0.0.2> 7001))      an element
 *
 * The input is that of a tree (reply_tree.h), in which a byte before each part of a table says
 * whether it is one (unless it is a multiple of 8) or any tree. */

/* Parses: wire/slots.c wire/redirect.c */
#include <stdio.h>

#include "grammar.h"
#include "reply_tree.h"

#include "wire/slots.h"

/* ---- The table ---- */

typedef void part_builder(reply *out, source *from);

static void build_tree(reply *out, source *from) { tree_build(out, from, 2); }

static void build_part(reply *out, source *from, part_builder *build)
{
    if (take_byte(from) % 8 == 0) build = build_tree;
    build(out, from);
}

/* The parts that it ought to have come first, and the last of them as often as there is room. */
static void build_parts(reply *out, source *from, part_builder *const *build, size_t known)
{
    *out = (reply){.kind = REPLY_ARRAY, .count = take_byte(from) % TREE_COUNT_MAX};
    if (out->count == 0) return;

    reply *items = tree_items(out->count);

    for (size_t i = 0; i < out->count; i++)
        build_part(&items[i], from, build[i < known ? i : known - 1]);
    out->items = items;
}

/* About a limit of what is read, any of two bytes, or any at all. */
static void build_number(reply *out, source *from)
{
    static const int64_t limits[] = {0, 16383, 65535, 1};
    uint8_t shape = take_byte(from), bytes[2];

    *out = (reply){.kind = REPLY_INTEGER};
    if (shape < 64) {
        out->integer = take_number(from);
    } else if (shape < 128) {
        out->integer = limits[shape % 4] + shape / 4 % 3 - 1;
    } else {
        take(from, bytes, sizeof bytes);
        out->integer = bytes[0] * 256 + bytes[1];
    }
}

static void build_endpoint(reply *out, source *from)
{
    *out = (reply){.kind = take_byte(from) % 4 == 0 ? REPLY_NIL : REPLY_STRING};
    if (out->kind == REPLY_STRING) out->text = take_text(from, &out->length);
}

static void build_node(reply *out, source *from)
{
    static part_builder *const parts_of_node[] = {build_endpoint, build_number, build_tree};

    build_parts(out, from, parts_of_node, 3);
}

static void build_element(reply *out, source *from)
{
    static part_builder *const parts_of_element[] = {build_number, build_number, build_node};

    build_parts(out, from, parts_of_element, 3);
}

static void build_table(reply *out, source *from)
{
    static part_builder *const parts_of_table[] = {build_element};

    build_parts(out, from, parts_of_table, 1);
}

/* ---- The lines ---- */

/* What is in no host becomes '!'. */
static void write_string(FILE *out, const reply *of)
{
    static const char usual[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._:%[]?";

    fputc('<', out);
    for (size_t i = 0; i < of->length; i++)
        fputc(memchr(usual, of->text[i], sizeof usual - 1) != NULL ? of->text[i] : '!', out);
    fputc('>', out);
}

static void write_line(FILE *out, const reply *of, int depth)
{
    static const char *const others[TREE_KINDS] = {
        [REPLY_NIL] = "nil", [REPLY_STATUS] = "status", [REPLY_ERROR] = "error"};

    if (of->kind == REPLY_INTEGER) fprintf(out, "%lld", (long long)of->integer);
    else if (of->kind == REPLY_STRING) write_string(out, of);
    else if (of->kind != REPLY_ARRAY) fputs(others[of->kind], out);
    if (of->kind != REPLY_ARRAY) return;
    fputc('(', out);
    for (size_t i = 0; i < of->count && depth < 2; i++) {
        if (i > 0) fputc(' ', out);
        write_line(out, &of->items[i], depth + 1);
    }
    fputc(')', out);
}

static char *line_of(const reply *of)
{
    char *line = NULL;
    size_t length;
    FILE *out = open_memstream(&line, &length);

    if (out == NULL) exit(1);
    write_line(out, of, 0);
    if (fclose(out) != 0) exit(1);
    return line;
}

/* ---- What may be read of them ---- */

static bool has_range(const char *line)
{
    static grammar ranges = {.pattern = "^\\(" GRAMMAR_NUMBER " " GRAMMAR_NUMBER "[ )]"};
    long long first, last;

    return grammar_fits(&ranges, line) && sscanf(line, "(%lld %lld", &first, &last) == 2 &&
           first <= last && last <= 16383;
}

static const char *endpoint_of(const char *line) { return strchr(line + 1, '(') + 1; }

static long long port_of(const char *line)
{
    return strtoll(strchr(endpoint_of(line), ' '), NULL, 10);
}

static bool has_primary(const char *line)
{
    static grammar primaries = {.pattern = "^\\(" GRAMMAR_NUMBER " " GRAMMAR_NUMBER
                                           " \\((nil|<" GRAMMAR_HOST ">) " GRAMMAR_NUMBER "[ )]"};

    return grammar_fits(&primaries, line) && port_of(line) >= 1 && port_of(line) <= 65535;
}

/* It is what the line says, which begins with it. */
static void check_range(const slot_range *got, const char *line)
{
    const char *endpoint = endpoint_of(line);
    bool is_nil = *endpoint == 'n', has_brackets = endpoint[1] == '[';
    char again[REDIRECT_HOST_SIZE + 64];

    must(memchr(got->host, '\0', sizeof got->host) != NULL);
    must(!is_nil || got->host[0] == '\0');
    snprintf(again, sizeof again, "(%u %u (%s%s%s%s %u", (unsigned)got->first, (unsigned)got->last,
             is_nil         ? "nil"
             : has_brackets ? "<["
                            : "<",
             got->host, has_brackets ? "]" : "", is_nil ? "" : ">", (unsigned)got->port);
    must(strncmp(again, line, strlen(again)) == 0);
    must(line[strlen(again)] == ' ' || line[strlen(again)] == ')');
}

static void check_useless(const reply *table, size_t at)
{
    static const slot_range nothing;
    slot_range got;

    memset(&got, 0xa5, sizeof got);
    must(!slots_read(&got, table, at));
    must(memcmp(&got, &nothing, sizeof got) == 0);
}

/* Does it speak of slots? */
static bool check_element(const reply *table, size_t at)
{
    char *line = line_of(&table->items[at]);
    bool is_range = has_range(line);
    slot_range got;

    if (is_range && has_primary(line)) {
        must(slots_read(&got, table, at));
        check_range(&got, line);
    } else {
        check_useless(table, at);
    }
    free(line);
    return is_range;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {data, size};
    reply table;
    size_t ranges = 0;

    build_part(&table, &from, build_table);
    for (size_t at = 0; at < table.count; at++) ranges += check_element(&table, at);
    check_useless(&table, table.count);
    must(slots_is_table(&table) == (table.count > 0 && ranges == table.count));
    tree_free(&table);
    return 0;
}

static const char *const parts[] = {"\x01\x01",
                                    "\x01\x03",
                                    "\x01\x03\x01@\x01\x41\x01\x02\x01\x01\x03h-1\x01\x42",
                                    "\x01\x03\x01@\x01\x41\x01\x04\x01\x04\x01\x43\x02\x02id\x06",
                                    "\x01\x04\x01@\x01@\x01\x02\x01\x01\x05[::1]\x01J",
                                    "\x01\x03\x01\x41\x01\x41\x01\x02\x01\x01\x01?\x01\x42",
                                    "\x01\x03\x01\x80\x07\x07\x01\x81\x01\x01\x01\x02\x01\x04\x01K",
                                    "\x01\x02\x01\x04\x01\x43",
                                    "\x01\x02\x01\x01",
                                    "\x01@",
                                    "\x01\x41",
                                    "\x01\x42",
                                    "\x01\x43",
                                    "\x01\x44",
                                    "\x01\x45",
                                    "\x01\x46",
                                    "\x01H",
                                    "\x01J",
                                    "\x01\x80",
                                    "\x01\xff\xff\xff",
                                    "\x01\x01\x03::1",
                                    "\x01\x01\x03[]h",
                                    "\x01\x01\x07"
                                    "fe80::%",
                                    "\x01\x01\x09"
                                    "127.0.0.1",
                                    "\x01\x01\x07"
                                    "a b.c_d",
                                    "\x08\x01\x41",
                                    "\x08\x02\x01h",
                                    "\x08\x05\x03",
                                    "\x08\x04\x02OK",
                                    "\x08",
                                    "?",
                                    "]",
                                    "["};
#include "driver.h"
