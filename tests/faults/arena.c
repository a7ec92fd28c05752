/* SPDX-License-Identifier: MIT
 * Setting the arena up. */
#include "faults/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "faults/worker.h"

#define MEMORY_DISK "/dev/shm"
enum { MEMORY_LEAST = 1 << 30 };

/* What it answers, it has written to the kernel: a SIGKILL loses nothing. DEBUG is allowed, for
 * faults. */
static const char arguments[] = "--appendonly yes --appendfsync no --auto-aof-rewrite-percentage 0"
                                " --enable-debug-command yes --user " WORKER_USER
                                " on >" WORKER_PASSWORD " ~* &* +@all";

/* The server's disk is memory where there is enough: one that other programs keep busy is none of
 * these faults. */
static void choose_disk(void)
{
    struct statvfs memory;
    if (statvfs(MEMORY_DISK, &memory) == 0 && memory.f_bavail * memory.f_frsize >= MEMORY_LEAST)
        setenv("TMPDIR", MEMORY_DISK, 1);
}

void arena_open(arena *self, uint64_t seed, int64_t pace_ms)
{
    choose_disk();
    self->server = server_start(arguments);
    self->proxy = proxy_start(self->server);
    self->dice = dice_for(seed, 0);
    self->span_least_ms = pace_ms / 12;
    self->span_most_ms = pace_ms / 3;
    snprintf(self->crew.uris[ROUTE_DIRECT], URI_SIZE, "%s", server_uri(self->server));
    snprintf(self->crew.uris[ROUTE_PROXY], URI_SIZE, "%s", proxy_uri(self->proxy));
    snprintf(self->crew.uris[ROUTE_PROXY_TCP], URI_SIZE, "%s", proxy_tcp_uri(self->proxy));
    if (!crew_open(&self->crew, seed * 1000)) abort();
    crew_start_all(&self->crew);
}

void arena_close(arena *self)
{
    crew_close(&self->crew);
    proxy_stop(self->proxy);
    server_stop(self->server);
}

void arena_pass(int64_t span_ms) { worker_pass(span_ms * 1000); }

int64_t arena_span_ms(arena *self)
{
    return dice_between(&self->dice, self->span_least_ms, self->span_most_ms);
}

void arena_last(arena *self) { arena_pass(arena_span_ms(self)); }

void arena_loses(arena *self, int name)
{
    if (self->loss_count == LOSSES_MOST) abort();
    self->losses[self->loss_count++] =
        (loss){.from_us = boot_us(), .to_us = INT64_MAX, .name = name};
}

void arena_lost(arena *self) { self->losses[self->loss_count - 1].to_us = boot_us(); }
