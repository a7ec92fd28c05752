/* SPDX-License-Identifier: MIT
 * Faults after which the server no longer knows what it granted. Each says which name that is
 * about, and when. */
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "faults/kinds.h"

/* ---- Everything -------------------------------------------------------------------------------*/

static int remove_data(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return strstr(path, "/appendonly") != NULL ? remove(path) : 0;
}

static void restarted_empty(arena *where)
{
    arena_loses(where, ALL_NAMES);
    server_kill(where->server);
    nftw(server_directory(where->server), remove_data, 8, FTW_DEPTH | FTW_PHYS);
    arena_last(where);
    server_restart(where->server);
    arena_lost(where);
}

static void flushed(arena *where)
{
    arena_loses(where, ALL_NAMES);
    server_order(where->server, "FLUSHALL");
    arena_lost(where);
}

static void evicted(arena *where)
{
    arena_loses(where, ALL_NAMES);
    server_order(where->server, "CONFIG SET maxmemory-policy allkeys-random");
    server_order(where->server, "CONFIG SET maxmemory 1");
    arena_last(where);
    server_order(where->server, "CONFIG SET maxmemory 0");
    server_order(where->server, "CONFIG SET maxmemory-policy noeviction");
    arena_lost(where);
}

/* ---- One lock ---------------------------------------------------------------------------------*/

static int any_name(arena *where) { return (int)dice_below(&where->dice, NAMES); }

static void deleted(arena *where)
{
    int name = any_name(where);
    arena_loses(where, name);
    server_order(where->server, "DEL redlock:{%s}", lock_names[name]);
    arena_lost(where);
}

/* To what it was a while before, as after a failover to a replica that lagged behind. */
static void rolled_back(arena *where)
{
    int name = any_name(where);
    server_order(where->server, "COPY redlock:{%s} {%s}:earlier REPLACE", lock_names[name],
                 lock_names[name]);
    arena_last(where);
    arena_loses(where, name);
    server_order(where->server, "DEL redlock:{%s}", lock_names[name]);
    server_order(where->server, "COPY {%s}:earlier redlock:{%s} REPLACE", lock_names[name],
                 lock_names[name]);
    arena_lost(where);
    server_order(where->server, "DEL {%s}:earlier", lock_names[name]);
}

fault_kinds kinds_of_loss(void)
{
    static const fault_kind kinds[] = {
        {"server killed, restarted empty", restarted_empty},
        {"server flushed", flushed},
        {"locks evicted", evicted},
        {"a lock deleted", deleted},
        {"a lock rolled back", rolled_back},
    };
    return (fault_kinds){kinds, sizeof kinds / sizeof *kinds};
}
