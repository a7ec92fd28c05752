/* SPDX-License-Identifier: MIT
 * Faults of the network, for those who are behind the proxy. */
#include "faults/kinds.h"

enum { LOST_REPLIES = 3, CRUMB = 48, CRUMB_PAUSE_US = 4000, DRIP_PAUSE_US = 300 };

static void cut(arena *where) { proxy_cut(where->proxy); }

static void refused(arena *where)
{
    proxy_refuse(where->proxy, true);
    proxy_cut(where->proxy);
    arena_last(where);
    proxy_refuse(where->proxy, false);
}

/* What was sent meanwhile arrives late. */
static void silent(arena *where)
{
    proxy_blackhole(where->proxy, true);
    arena_last(where);
    proxy_blackhole(where->proxy, false);
}

/* What was sent meanwhile never arrives. */
static void half_open(arena *where)
{
    proxy_blackhole(where->proxy, true);
    arena_last(where);
    proxy_cut(where->proxy);
    proxy_blackhole(where->proxy, false);
}

static void replies_late(arena *where)
{
    proxy_hold(where->proxy, true);
    arena_last(where);
    proxy_hold(where->proxy, false);
}

static void slow(arena *where)
{
    proxy_slow(where->proxy, CRUMB, CRUMB_PAUSE_US);
    arena_last(where);
    proxy_slow(where->proxy, 0, 0);
}

static void one_byte_at_a_time(arena *where)
{
    proxy_slow(where->proxy, 1, DRIP_PAUSE_US);
    arena_last(where);
    proxy_slow(where->proxy, 0, 0);
}

/* Each takes effect, and its connection ends before the answer. */
static void replies_lost(arena *where)
{
    for (int i = 0; i < LOST_REPLIES; i++) {
        proxy_drop_reply_to(where->proxy, "EVALSHA");
        for (int waited_ms = 0; waited_ms < 200 && !proxy_has_dropped(where->proxy); waited_ms += 2)
            arena_pass(2);
    }
    arena_last(where);
}

fault_kinds kinds_of_network(void)
{
    static const fault_kind kinds[] = {
        {"connections cut", cut},
        {"connections refused", refused},
        {"network silent", silent},
        {"network half-open", half_open},
        {"replies late", replies_late},
        {"network slow", slow},
        {"one byte at a time", one_byte_at_a_time},
        {"replies lost after the effect", replies_lost},
    };
    return (fault_kinds){kinds, sizeof kinds / sizeof *kinds};
}
