/* SPDX-License-Identifier: MIT
 * docs/pitfalls.md and docs/promises.md name no test that is not there; the one has all the
 * pitfalls, the other every function of the header. */
#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SOURCES_MOST = 1 << 22, TEXT_MOST = 1 << 17, PITFALLS = 44 };

/* ---- Files of this tree -----------------------------------------------------------------------*/

static char *below_the_root(char path[4096], const char *rest)
{
    snprintf(path, 4096, "%s", __FILE__);
    char *tests = strstr(path, "/tests/live/");
    assert_non_null(tests);
    snprintf(tests, 4096 - (size_t)(tests - path), "%s", rest);
    return path;
}

static size_t append_file(char *text, size_t length, size_t most, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("%s is not there", path);
    length += fread(text + length, 1, most - 1 - length, file);
    assert_true(feof(file));
    fclose(file);
    text[length] = '\0';
    return length;
}

static const char *read_text(char text[TEXT_MOST], const char *rest)
{
    char path[4096];
    append_file(text, 0, TEXT_MOST, below_the_root(path, rest));
    return text;
}

/* Called with the path of each file in the directory, below the root, that has an extension. */
static void for_each_file(const char *rest, void (*look)(void *arg, const char *path), void *arg)
{
    char root[4096], path[4096 + 256];
    DIR *directory = opendir(below_the_root(root, rest));
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '.') == NULL) continue;
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        look(arg, path);
    }
    if (directory != NULL) closedir(directory);
}

/* ---- Tables -----------------------------------------------------------------------------------*/

/* The next row of three cells, | first | second | third |; the heads and rules of tables among
 * them. */
static bool next_row(char **at, char *cell[3])
{
    for (char *line; (line = strsep(at, "\n")) != NULL;) {
        char *rest = line;
        if (*line != '|') continue;
        cell[0] = strtok_r(line, "|", &rest);
        cell[1] = strtok_r(NULL, "|", &rest);
        cell[2] = strtok_r(NULL, "|", &rest);
        if (cell[2] != NULL) return true;
    }
    return false;
}

/* How many tests the cell names, in `this way`; each is looked at. */
static int check_tests(char *cell, void (*look)(void *arg, const char *test), void *arg)
{
    int count = 0;
    bool is_name = false;
    for (char *word; (word = strsep(&cell, "`")) != NULL; is_name = !is_name) {
        if (is_name) look(arg, word);
        count += is_name;
    }
    return count;
}

static bool is_a_test(const char *sources, const char *test)
{
    char definition[256];
    snprintf(definition, sizeof definition, "static void %s(void **state)", test);
    return strstr(sources, definition) != NULL;
}

/* ---- Pitfalls ---------------------------------------------------------------------------------*/

typedef struct text {
    char bytes[SOURCES_MOST];
    size_t length;
} text;

static void add(void *arg, const char *path)
{
    text *self = arg;
    self->length = append_file(self->bytes, self->length, SOURCES_MOST, path);
}

static void is_somewhere(void *sources, const char *test)
{
    if (!is_a_test(sources, test)) fail_msg("docs/pitfalls.md: %s is not there", test);
}

/* | number | what goes wrong | `test`, ... | */
static void every_test_that_the_pitfalls_name_exists(void **state)
{
    static const char *const rings[] = {"/tests/unit", "/tests/live", "/tests/laws", "/tests/sim"};
    static char document[TEXT_MOST];
    static text sources;
    char *cell[3], *at = document;
    int last = 0;
    (void)state;
    size_t count = sizeof rings / sizeof *rings;
    for (size_t i = 0; i < count; i++) for_each_file(rings[i], add, &sources);
    read_text(document, "/docs/pitfalls.md");
    while (next_row(&at, cell)) {
        if (atoi(cell[0]) == 0) continue;
        assert_int_equal(atoi(cell[0]), ++last);
        bool is_due = strstr(cell[2], "not yet") != NULL;
        assert_true(check_tests(cell[2], is_somewhere, sources.bytes) > 0 || is_due);
    }
    assert_int_equal(last, PITFALLS);
}

/* ---- Promises ---------------------------------------------------------------------------------*/

/* A test is named by its ring, file and function, `live.set: shared_sets_are_held_at_once`; a law,
 * `laws: exclusion`; or a check by its name, `style.header`. */
static void is_in_its_place(void *arg, const char *named)
{
    static char source[TEXT_MOST * 4];
    char path[4096], place[256], ring[16] = "", file[64] = "", function[128] = "";
    (void)arg;
    bool is_check = sscanf(named, "style.%63[a-z_]", file) == 1;
    bool is_law = sscanf(named, "laws: %127[a-z0-9_]", function) == 1;
    bool is_test = sscanf(named, "%15[a-z].%63[a-z0-9_]: %127[a-z0-9_]", ring, file, function) == 3;
    if (is_check) snprintf(place, sizeof place, "/tests/CMakeLists.txt");
    else if (is_law) snprintf(place, sizeof place, "/tests/laws/laws.h");
    else if (is_test) snprintf(place, sizeof place, "/tests/%s/test_%s.c", ring, file);
    else fail_msg("docs/promises.md: %s names no test", named);
    append_file(source, 0, sizeof source, below_the_root(path, place));
    snprintf(place, sizeof place, "redlock_style_test(%s ", file);
    bool is_there = is_check ? strstr(source, place) != NULL : is_a_test(source, function);
    if (!is_there) fail_msg("docs/promises.md: %s is not there", named);
}

/* | of what | promise | `ring.file: test`, ... | */
static void every_promise_is_held_by_a_test(void **state)
{
    static char document[TEXT_MOST];
    char *cell[3], *at = document;
    int promises = 0;
    (void)state;
    read_text(document, "/docs/promises.md");
    while (next_row(&at, cell)) {
        bool is_head = strstr(cell[2], "held by") != NULL || strstr(cell[2], "---") != NULL;
        if (is_head) continue;
        if (check_tests(cell[2], is_in_its_place, NULL) == 0)
            fail_msg("docs/promises.md: nothing holds \"%s\"", cell[1]);
        promises++;
    }
    assert_true(promises > 100);
}

/* What stands before a parenthesis in a declaration of the header. */
static void check_named(const char *document, const char *declaration)
{
    char name[80];
    const char *end = strchr(declaration, '('), *begin = end;
    assert_non_null(end);
    while (begin[-1] == '_' || islower((unsigned char)begin[-1])) begin--;
    snprintf(name, sizeof name, "`%.*s`", (int)(end - begin), begin);
    if (strstr(document, name) == NULL) fail_msg("docs/promises.md has nothing about %s", name);
}

static void every_function_of_the_header_has_its_promises(void **state)
{
    static char document[TEXT_MOST], header[TEXT_MOST];
    int functions = 0;
    (void)state;
    read_text(document, "/docs/promises.md");
    const char *at = read_text(header, "/include/redlock/redlock.h");
    while ((at = strstr(at, "\nREDLOCK_API ")) != NULL) {
        check_named(document, ++at);
        functions++;
    }
    assert_true(functions > 30);
}

/* ---- "The library never prints, never exits, and raises no signal" ----------------------------*/

static bool is_called(const char *source, const char *function)
{
    size_t length = strlen(function);
    for (const char *at = source; (at = strstr(at, function)) != NULL; at++) {
        bool is_whole = !isalnum((unsigned char)at[-1]) && at[-1] != '_' && at[length] == '(';
        if (is_whole) return true;
    }
    return false;
}

static void check_calls(void *arg, const char *path)
{
    static const char *const forbidden[] = {
        "printf", "fprintf", "vprintf", "vfprintf", "puts", "fputs",  "perror",
        "exit",   "_exit",   "abort",   "raise",    "kill", "tgkill", "syslog",
    };
    static char source[TEXT_MOST];
    append_file(source, 0, sizeof source, path);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (is_called(source, forbidden[i])) fail_msg("%s calls %s", path, forbidden[i]);
    ++*(int *)arg;
}

static void no_source_prints_exits_or_raises(void **state)
{
    static const char *const layers[] = {"/src/host", "/src/wire",  "/src/engine",
                                         "/src/net",  "/src/lane",  "/src/topology",
                                         "/src/api",  "/src/keeper"};
    int files = 0;
    (void)state;
    size_t count = sizeof layers / sizeof *layers;
    for (size_t i = 0; i < count; i++) for_each_file(layers[i], check_calls, &files);
    assert_true(files > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_test_that_the_pitfalls_name_exists),
        cmocka_unit_test(every_promise_is_held_by_a_test),
        cmocka_unit_test(every_function_of_the_header_has_its_promises),
        cmocka_unit_test(no_source_prints_exits_or_raises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
