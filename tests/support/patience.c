/* SPDX-License-Identifier: MIT
 * Waiting with a deadline. Rule: a wait ends when the thing is so, and a missed deadline is a
 * failed test. */
#include "support/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, PATIENCE_INSTRUMENTED_MS = 30000, PAUSE_MS = 2, TIMES_AS_LONG = 4 };

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

/* Valgrind preloads its own objects, and leaves their names here. */
bool patience_is_below_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

bool patience_is_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
    return true;
#else
    return patience_is_below_valgrind();
#endif
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

patience patience_begin(void)
{
    int patience_ms = patience_is_instrumented() ? PATIENCE_INSTRUMENTED_MS : PATIENCE_MS;
    return (patience){.end_ms = now_ms() + patience_ms};
}

bool patience_is_over(const patience *self) { return now_ms() >= self->end_ms; }

void patience_pause(void) { nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL); }

void let_pass_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

int64_t patience_outlasting_ms(int64_t ms)
{
    return patience_is_instrumented() ? TIMES_AS_LONG * ms : ms;
}

void eventually_at(bool (*is_so)(void *arg), void *arg, const char *what, const char *file,
                   int line)
{
    for (patience left = patience_begin(); !is_so(arg); patience_pause()) {
        if (!patience_is_over(&left)) continue;
        print_error("%s:%d: never became true: %s\n", file, line, what);
        _fail(file, line);
    }
}
