/* SPDX-License-Identifier: MIT
 * Measures stalls. */
#include "faults/pulse.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "faults/ledger.h"

enum { BEAT_US = 5000, STALLS = 64 };

typedef struct stall {
    int64_t end_us, length_us;
} stall;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static int64_t last_us;
static stall stalls[STALLS]; /* the latest ones, in a ring */
static unsigned stall_count;

static void beat(int64_t now_us)
{
    pthread_mutex_lock(&mutex);
    int64_t late_us = now_us - last_us - BEAT_US;
    if (late_us > BEAT_US) stalls[stall_count++ % STALLS] = (stall){now_us, late_us};
    last_us = now_us;
    pthread_mutex_unlock(&mutex);
}

static void *run(void *arg)
{
    (void)arg;
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = BEAT_US * 1000L}, NULL);
        beat(boot_us());
    }
    return NULL;
}

bool pulse_start(void)
{
    pthread_t thread;
    sigset_t all, before;
    last_us = boot_us();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_started = pthread_create(&thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return has_started && pthread_detach(thread) == 0;
}

int64_t pulse_stall_us(int64_t from_us)
{
    pthread_mutex_lock(&mutex);
    int64_t longest_us = boot_us() - last_us - BEAT_US;
    for (int i = 0; i < STALLS; i++)
        if (stalls[i].end_us >= from_us && stalls[i].length_us > longest_us)
            longest_us = stalls[i].length_us;
    pthread_mutex_unlock(&mutex);
    return longest_us > 0 ? longest_us : 0;
}

/* "<ns run> <ns waited> <times run>" */
static int64_t queued_ns(const char *thread)
{
    char path[64];
    long long run_ns, waited_ns = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", thread);
    FILE *from = fopen(path, "r");
    if (from == NULL) return 0;
    if (fscanf(from, "%lld %lld", &run_ns, &waited_ns) != 2) waited_ns = 0;
    fclose(from);
    return waited_ns;
}

int64_t pulse_queued_us(void)
{
    int64_t sum_ns = 0;
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL) return 0;
    for (const struct dirent *one; (one = readdir(threads)) != NULL;)
        if (one->d_name[0] != '.') sum_ns += queued_ns(one->d_name);
    closedir(threads);
    return sum_ns / 1000;
}
