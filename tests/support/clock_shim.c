/* SPDX-License-Identifier: MIT
 * A wall clock that the test moves, for a server: preloaded (LD_PRELOAD), it answers in the place
 * of the C library. The file $REDLOCK_TEST_CLOCK is mapped: two numbers of 64 bits, the
 * microseconds that are added to the clock, and the instant at which it stands still, or 0. Clocks
 * that count from the start of the machine are left alone. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t at_rest[2];
static const volatile int64_t *moved = at_rest;
static int (*machine_clock)(clockid_t clock, struct timespec *out);

__attribute__((constructor)) static void begin(void)
{
    /* As POSIX has it: an object pointer that is a function's. */
    *(void **)(&machine_clock) = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("REDLOCK_TEST_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof at_rest, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) moved = mapped;
}

static void move(struct timespec *at)
{
    int64_t us = moved[1] != 0 ? moved[1]
                               : (int64_t)at->tv_sec * 1000000 + at->tv_nsec / 1000 + moved[0];
    at->tv_sec = (time_t)(us / 1000000);
    at->tv_nsec = (long)(us % 1000000 * 1000);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (machine_clock == NULL) begin(); /* another library's constructor asks first */
    int result = machine_clock(clock, out);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(out);
    return result;
}

int gettimeofday(struct timeval *out, void *zone)
{
    struct timespec at;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &at);
    out->tv_sec = at.tv_sec;
    out->tv_usec = at.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out != NULL) *out = at.tv_sec;
    return at.tv_sec;
}
