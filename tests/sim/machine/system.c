/* SPDX-License-Identifier: MIT
 * Clock, randomness, eventfds and sockets of the simulated machines. */
#include "sim/machine/system.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sim/machine/descriptor.h"
#include "sim/machine/machine.h"
#include "sim/machine/wrapped.h"
#include "sim/room.h"

enum { FD_FIRST = 1 << 20, FDS_MOST = 2048 };

/* Whoever reads the clock more often at one instant goes round in circles, and would for ever. */
enum { READINGS_MOST = ROOM(20000, 400000) };

static descriptor descriptors[FDS_MOST];
static int descriptor_count;
static int observed = -1;
static bool is_exiled[MACHINES_MOST];
static int64_t reading_us;
static int readings;
static int spinning;

void system_begin(void)
{
    reading_us = readings = 0;
    spinning = -1;
    descriptor_count = 0;
    observed = -1;
    memset(is_exiled, 0, sizeof is_exiled);
}

void system_observe(int number) { observed = number; }

int system_machine(void)
{
    if (observed >= 0) return observed;
    return fiber_self() == NULL ? -1 : fiber_machine(fiber_self());
}

bool system_is_exiled(int number) { return is_exiled[number]; }

void system_exile(int number)
{
    is_exiled[number] = true;
    for (int i = 0; i < network_count(); i++) {
        cable *one = network_cable(i);
        if (one->machine == number && !one->is_closed) one->is_reset = true;
    }
}

descriptor *descriptor_at(int fd)
{
    return fd >= FD_FIRST && fd < FD_FIRST + descriptor_count ? &descriptors[fd - FD_FIRST] : NULL;
}

/* The lowest that is free, as a system does. */
int descriptor_take(enum descriptor_kind kind)
{
    int place = 0;
    while (place < descriptor_count && descriptors[place].is_open) place++;
    if (place == FDS_MOST) {
        errno = EMFILE;
        return -1;
    }
    descriptors[place] = (descriptor){
        .is_open = true, .machine = system_machine(), .kind = kind, .at_us = SIM_NEVER};
    if (place == descriptor_count) descriptor_count++;
    return FD_FIRST + place;
}

int system_fail(int error)
{
    errno = error;
    return -1;
}

/* ---- Clock and randomness -------------------------------------------------------------------- */

/* A thread may be preempted right after it read the clock. */
static void stall(int number)
{
    machine *self = machine_at(number);
    if (fiber_self() == NULL || observed >= 0 || !dice_chance(&self->dice, self->stall_permille))
        return;
    int64_t until_us = now_us() + dice_spread(&self->dice, 1, self->stall_most_us);
    if (self->stalled_until_us < until_us) self->stalled_until_us = until_us;
    fiber_wait(until_us, NULL);
}

int system_spinning(void) { return spinning; }

/* A thread that spins is stopped, so that it can be told of. */
static void count_reading(int number)
{
    if (reading_us != now_us()) readings = 0;
    reading_us = now_us();
    if (++readings < READINGS_MOST || fiber_self() == NULL || observed >= 0) return;
    spinning = number;
    fiber_wait(SIM_NEVER, NULL);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int number = system_machine();
    if (number < 0) return __real_clock_gettime(clock, out);
    int64_t shown_us = machine_clock_us(number);
    out->tv_sec = shown_us / 1000000;
    out->tv_nsec = shown_us % 1000000 * 1000;
    count_reading(number);
    stall(number);
    return 0;
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    int number = system_machine();
    if (number < 0) return __real_getrandom(bytes, size, flags);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)dice_roll(&machine_at(number)->dice);
    return (ssize_t)size;
}

pid_t __wrap_getpid(void)
{
    int number = system_machine();
    return number < 0 ? __real_getpid() : FIRST_PROCESS + number;
}

int __wrap_gethostname(char *name, size_t size)
{
    if (system_machine() < 0) return __real_gethostname(name, size);
    snprintf(name, size, "machine");
    return 0;
}

/* One processor, so that nobody spins: in virtual time a spin has no end. */
long __wrap_sysconf(int name)
{
    if (system_machine() < 0) return __real_sysconf(name);
    return name == _SC_PAGESIZE ? 4096 : 1;
}

void *__wrap_mmap(void *place, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (system_machine() < 0) return __real_mmap(place, size, protection, flags, fd, offset);
    return memset(arena_take(size), 0, size);
}

int __wrap_munmap(void *place, size_t size)
{
    return system_machine() < 0 ? __real_munmap(place, size) : 0;
}

int __wrap_madvise(void *place, size_t size, int advice)
{
    return system_machine() < 0 ? __real_madvise(place, size, advice) : 0;
}

/* ---- Eventfds -------------------------------------------------------------------------------- */

int __wrap_eventfd(unsigned count, int flags)
{
    if (system_machine() < 0) return __real_eventfd(count, flags);
    int fd = descriptor_take(DESCRIPTOR_EVENT);
    if (fd >= 0) descriptor_at(fd)->count = count;
    return fd;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_write(fd, bytes, size);
    self->count++;
    fibers_look(self->machine);
    return (ssize_t)size;
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_read(fd, bytes, size);
    if (self->count == 0) return system_fail(EAGAIN);
    memcpy(bytes, &self->count, sizeof self->count);
    self->count = 0;
    return (ssize_t)size;
}

/* ---- Sockets --------------------------------------------------------------------------------- */

int __wrap_socket(int family, int type, int protocol)
{
    return system_machine() < 0 ? __real_socket(family, type, protocol)
                                : descriptor_take(DESCRIPTOR_SOCKET);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_connect(fd, to, length);
    if (is_exiled[self->machine]) return system_fail(ENETUNREACH);
    self->cable = cable_open(self->machine);
    return system_fail(self->cable == NULL ? ENOBUFS : EINPROGRESS);
}

int __wrap_close(int fd)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_close(fd);
    if (self->cable != NULL && !self->cable->is_closed) cable_close(self->cable, self->is_abortive);
    self->cable = NULL;
    self->is_open = false;
    for (int i = 0; i < descriptor_count; i++) set_drop(&descriptors[i], fd);
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    const descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_getsockopt(fd, level, name, value, length);
    int error = self->cable->state == CABLE_REFUSED ? ECONNREFUSED
                : self->cable->is_reset             ? ECONNRESET
                                                    : 0;
    memcpy(value, &error, sizeof error);
    return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_setsockopt(fd, level, name, value, length);
    const struct linger *how = value;
    if (level == SOL_SOCKET && name == SO_LINGER)
        self->is_abortive = how->l_onoff != 0 && how->l_linger == 0;
    return 0;
}

static int tell_address(struct sockaddr *address, socklen_t *length, uint16_t port)
{
    struct sockaddr_in told = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(address, &told, sizeof told);
    *length = sizeof told;
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    return descriptor_at(fd) == NULL ? __real_getsockname(fd, address, length)
                                     : tell_address(address, length, 40000);
}

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    return descriptor_at(fd) == NULL ? __real_getpeername(fd, address, length)
                                     : tell_address(address, length, 6379);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int argument = va_arg(arguments, int);
    va_end(arguments);
    return descriptor_at(fd) == NULL ? __real_fcntl(fd, command, argument) : 0;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    descriptor *self = descriptor_at(fd);
    if (self == NULL) return __real_send(fd, bytes, size, flags);
    if (self->cable->is_reset || self->cable->state != CABLE_OPEN) return system_fail(ECONNRESET);
    return (ssize_t)cable_send(self->cable, bytes, size);
}
