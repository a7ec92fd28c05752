/* SPDX-License-Identifier: MIT
 * The meter: one thread of the process, from the first mark to the end. */
#include "support/stall.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/patience.h"

/* What is later than NOTICED_US counts: less is the price of falling asleep and being woken. */
enum { STEP_US = 1000, STEP_INSTRUMENTED_US = 5000, NOTICED_US = 1000 };
/* The test, the library and its thread, the server: each is kept waiting as the meter is, or longer
 * if it is busier. */
enum { HANDS = 6 };
enum { LATE_US = 20 * 1000, LATE_INSTRUMENTED_US = 500 * 1000 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_t meter;
static pid_t owner; /* the process that has it */
static atomic_bool is_over;
static sem_t is_running;
static _Atomic int64_t stalled_us; /* of all sleeps that are over */
static _Atomic int64_t due_us; /* the end of the sleep that is under way; 0: there is no meter */

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t lateness_us(int64_t at_us)
{
    int64_t late_us = now_us() - at_us;
    return at_us != 0 && late_us > NOTICED_US ? late_us : 0;
}

static void *measure(void *unused)
{
    int64_t step_us = patience_is_instrumented() ? STEP_INSTRUMENTED_US : STEP_US;
    (void)unused;
    prctl(PR_SET_TIMERSLACK, 1); /* otherwise the kernel may join this timer with later ones */
    while (!atomic_load(&is_over)) {
        int64_t until_us = now_us() + step_us;
        struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
        if (atomic_exchange(&due_us, until_us) == 0) sem_post(&is_running);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        atomic_fetch_add(&stalled_us, lateness_us(until_us));
    }
    return NULL;
}

/* Not in a child of fork(), which has no such thread. */
static void stop(void)
{
    if (getpid() != owner) return;
    atomic_store(&is_over, true);
    pthread_join(meter, NULL);
}

/* The test's signals are the test's: this thread takes none. */
static void start(void)
{
    sigset_t all, before;
    sem_init(&is_running, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int refused = pthread_create(&meter, NULL, measure, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (refused != 0 || atexit(stop) != 0) abort();
    owner = getpid();
    while (sem_wait(&is_running) != 0) continue; /* for a signal */
}

/* Read in this order, a sleep that ends meanwhile is counted twice rather than not at all. */
static int64_t total_us(void)
{
    int64_t under_way_us = lateness_us(atomic_load(&due_us));
    return under_way_us + atomic_load(&stalled_us);
}

stall stall_begin(void)
{
    pthread_once(&once, start);
    int64_t before_us = atomic_load(&stalled_us);
    return (stall){.began_us = now_us(), .before_us = before_us};
}

int64_t stall_us(const stall *since) { return HANDS * (total_us() - since->before_us); }

int64_t stall_late_us(void) { return patience_is_instrumented() ? LATE_INSTRUMENTED_US : LATE_US; }

bool stall_allows(const stall *since, int64_t took_us, int64_t most_us)
{
    return took_us <= most_us + stall_late_us() + stall_us(since);
}

int64_t stall_meter_busy_us(void)
{
    clockid_t clock;
    struct timespec busy;
    if (atomic_load(&due_us) == 0 || pthread_getcpuclockid(meter, &clock) != 0) return 0;
    clock_gettime(clock, &busy);
    return (int64_t)busy.tv_sec * 1000000 + busy.tv_nsec / 1000;
}

void took_at(const stall *since, int64_t took_us, int64_t least_us, int64_t most_us,
             const char *file, int line)
{
    if (took_us >= least_us && stall_allows(since, took_us, most_us)) return;
    print_error(
        "%s:%d: took %lld us and not %lld to %lld us, while the machine stalled for %lld us\n",
        file, line, (long long)took_us, (long long)least_us, (long long)most_us,
        (long long)stall_us(since));
    _fail(file, line);
}

void ended_at(const stall *since, int64_t least_us, int64_t most_us, const char *file, int line)
{
    took_at(since, now_us() - since->began_us, least_us, most_us, file, line);
}
