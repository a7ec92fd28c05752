/* SPDX-License-Identifier: MIT
 * What was measured: rows of a table for people, figures in one line of JSON for programs. */
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "shared.h"

enum { ROWS_MAX = 64 };

typedef struct row {
    char what[32];
    char unit[12];
    double floor, ours, ratio;
    char note[112];
} row;

/* One process writes at a time; a row counts once it is whole, should its writer be killed. */
struct report {
    double figures[FIGURE_COUNT];
    row rows[ROWS_MAX];
    atomic_int row_count;
    int printed;
};

report *report_new(void)
{
    report *self = shared_new(sizeof *self);
    if (self == NULL) return NULL;
    for (int i = 0; i < FIGURE_COUNT; i++) self->figures[i] = NAN;
    return self;
}

void report_figure(report *self, enum figure which, double value) { self->figures[which] = value; }

void report_row(report *self, const char *what, const char *unit, double floor, double ours,
                double ratio, const char *note_format, ...)
{
    const int index = atomic_load(&self->row_count);
    if (index == ROWS_MAX) return;
    row *to = &self->rows[index];
    snprintf(to->what, sizeof to->what, "%s", what);
    snprintf(to->unit, sizeof to->unit, "%s", unit);
    to->floor = floor;
    to->ours = ours;
    to->ratio = ratio;
    va_list arguments;
    va_start(arguments, note_format);
    vsnprintf(to->note, sizeof to->note, note_format, arguments);
    va_end(arguments);
    atomic_store(&self->row_count, index + 1);
}

void report_print_head(void)
{
    printf("%-22s %10s %10s %7s  %-8s %s\n", "", "floor", "redlock", "ratio", "unit", "");
}

static void print_cell(double value, int width, int digits)
{
    if (isfinite(value)) {
        printf("%*.*f ", width, digits, value);
    } else {
        printf("%*s ", width, "-");
    }
}

void report_print_rows(report *self)
{
    const int count = atomic_load(&self->row_count);
    for (; self->printed < count; self->printed++) {
        const row *from = &self->rows[self->printed];
        printf("%-22s ", from->what);
        print_cell(from->floor, 10, from->floor < 1000 ? 1 : 0);
        print_cell(from->ours, 10, from->ours < 1000 ? 1 : 0);
        print_cell(from->ratio, 7, 3);
        printf(" %-8s %s\n", from->unit, from->note);
    }
    fflush(stdout);
}

static void print_figure(const char *name, double value, const char *separator)
{
    if (isfinite(value)) {
        printf("%s\"%s\": %.6g", separator, name, value);
    } else {
        printf("%s\"%s\": null", separator, name);
    }
}

void report_print_json(const report *self)
{
    const char *separator = "{";
#define FIGURE_PRINT(name)                                                                         \
    print_figure(#name, self->figures[FIGURE_##name], separator);                                  \
    separator = ", ";
    FIGURES(FIGURE_PRINT)
#undef FIGURE_PRINT
    printf("}\n");
    fflush(stdout);
}
