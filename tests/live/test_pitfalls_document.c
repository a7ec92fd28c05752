/* SPDX-License-Identifier: MIT
 * docs/pitfalls.md has all the pitfalls, and names no test that is not there. */
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

enum { SOURCES_MOST = 1 << 22, PITFALLS = 44 };

static char *below_the_root(char path[4096], const char *rest)
{
    snprintf(path, 4096, "%s", __FILE__);
    char *tests = strstr(path, "/tests/live/");
    assert_non_null(tests);
    snprintf(tests, 4096 - (size_t)(tests - path), "%s", rest);
    return path;
}

static size_t append_file(char *text, size_t length, const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    length += fread(text + length, 1, SOURCES_MOST - 1 - length, file);
    assert_true(feof(file));
    fclose(file);
    text[length] = '\0';
    return length;
}

static char *every_test(void)
{
    static const char *const rings[] = {"/tests/unit", "/tests/live", "/tests/laws", "/tests/sim"};
    static char text[SOURCES_MOST], path[4096 + 256];
    char ring[4096];
    size_t length = 0;
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        DIR *directory = opendir(below_the_root(ring, rings[i]));
        for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
            if (entry->d_name[0] == '.' || strpbrk(entry->d_name, ".") == NULL) continue;
            snprintf(path, sizeof path, "%s/%s", ring, entry->d_name);
            length = append_file(text, length, path);
        }
        if (directory != NULL) closedir(directory);
    }
    return text;
}

static bool is_a_test(const char *sources, const char *test)
{
    char definition[256];
    snprintf(definition, sizeof definition, "static void %s(void **state)", test);
    return strstr(sources, definition) != NULL;
}

/* One line of a table: | number | what goes wrong | `test`, ... | */
static int check_line(const char *sources, char *line)
{
    char *rest, *number = strtok_r(line, "|", &rest), *fault = strtok_r(NULL, "|", &rest),
                *tests = strtok_r(NULL, "|", &rest);
    if (number == NULL || fault == NULL || tests == NULL || atoi(number) == 0) return 0;
    assert_true(strchr(tests, '`') != NULL || strstr(tests, "not yet") != NULL);
    bool is_name = false;
    for (char *word; (word = strsep(&tests, "`")) != NULL; is_name = !is_name)
        if (is_name && !is_a_test(sources, word)) fail_msg("docs/pitfalls.md names a test that is not there: %s", word);
    return atoi(number);
}

static void every_test_that_the_document_names_exists(void **state)
{
    static char text[1 << 16];
    char path[4096], *rest;
    const char *sources = every_test();
    int last = 0;
    (void)state;
    append_file(text, 0, below_the_root(path, "/docs/pitfalls.md"));
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        int number = line[0] == '|' ? check_line(sources, line) : 0;
        if (number > 0) assert_int_equal(number, ++last);
    }
    assert_int_equal(last, PITFALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_test_that_the_document_names_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
