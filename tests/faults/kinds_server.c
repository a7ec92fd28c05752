/* SPDX-License-Identifier: MIT
 * Faults of a server that keeps its data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults/kinds.h"

enum { LOADED_COMMANDS = 4000, LOADING_US = 200 };

static void restarted(arena *where)
{
    server_kill(where->server);
    arena_last(where);
    server_restart(where->server);
}

static void frozen(arena *where)
{
    server_freeze(where->server);
    arena_last(where);
    server_thaw(where->server);
}

static void connections_killed(arena *where)
{
    server_order(where->server, "CLIENT KILL TYPE normal");
}
static void inboxes_killed(arena *where) { server_order(where->server, "CLIENT KILL TYPE pubsub"); }

static void scripts_forgotten(arena *where)
{
    server_order(where->server, "SCRIPT FLUSH");
    arena_last(where);
    server_order(where->server, "SCRIPT FLUSH");
}

static void out_of_memory(arena *where)
{
    server_order(where->server, "CONFIG SET maxmemory 1");
    arena_last(where);
    server_order(where->server, "CONFIG SET maxmemory 0");
}

static void read_only(arena *where)
{
    server_order(where->server, "REPLICAOF 127.0.0.1 1"); /* where nobody is */
    arena_last(where);
    server_order(where->server, "REPLICAOF NO ONE");
}

static void master_down(arena *where)
{
    server_order(where->server, "CONFIG SET replica-serve-stale-data no");
    read_only(where);
    server_order(where->server, "CONFIG SET replica-serve-stale-data yes");
}

/* ---- MISCONF: a snapshot cannot be written, for a directory has its name ----------------------*/

static bool says(arena *where, const char *line)
{
    redisReply *answer = server_command(where->server, "INFO persistence");
    bool says_so = strstr(answer->str, line) != NULL;
    freeReplyObject(answer);
    return says_so;
}

static void await_saying(arena *where, const char *line)
{
    for (patience left = patience_begin(); !says(where, line); patience_pause()) {
        if (!patience_is_over(&left)) continue;
        printf("the server never says %s\n", line);
        exit(2);
    }
}

static void cannot_save(arena *where)
{
    char path[160];
    snprintf(path, sizeof path, "%s/dump.rdb", server_directory(where->server));
    (void)mkdir(path, 0700);
    server_order(where->server, "BGSAVE");
    await_saying(where, "rdb_last_bgsave_status:err");
    server_order(where->server, "CONFIG SET save %s", "3600 1");
    arena_last(where);
    server_order(where->server, "CONFIG SET save %s", "");
    (void)rmdir(path);
}

/* ---- LOADING: its own data, which takes a while ---------------------------------------------- */

/* So that its length is known. */
static void shorten_log(arena *where)
{
    server_order(where->server, "BGREWRITEAOF");
    await_saying(where, "aof_rewrite_scheduled:0");
    await_saying(where, "aof_rewrite_in_progress:0");
}

static void loading(arena *where)
{
    shorten_log(where);
    server_order(
        where->server, "EVAL %s 0 %d",
        "for i = 1, ARGV[1] do redis.call('SET', 'filler', i) end redis.call('DEL', 'filler')",
        LOADED_COMMANDS);
    server_order(where->server, "CONFIG SET key-load-delay %d", LOADING_US);
    server_order(where->server, "DEBUG LOADAOF");
    server_order(where->server, "CONFIG SET key-load-delay 0");
}

/* ---- Refusals ---------------------------------------------------------------------------------*/

static void scripts_denied(arena *where)
{
    server_order(where->server, "ACL SETUSER worker -@scripting");
    arena_last(where);
    server_order(where->server, "ACL SETUSER worker +@all");
}

static void channels_denied(arena *where)
{
    server_order(where->server, "ACL SETUSER worker resetchannels");
    arena_last(where);
    server_order(where->server, "ACL SETUSER worker allchannels");
}

static void too_many_clients(arena *where)
{
    server_order(where->server, "CONFIG SET maxclients 1");
    server_order(where->server, "CLIENT KILL TYPE normal");
    server_order(where->server, "CLIENT KILL TYPE pubsub");
    arena_last(where);
    server_order(where->server, "CONFIG SET maxclients 10000");
}

/* ---- Silence ----------------------------------------------------------------------------------*/

static void asleep(arena *where)
{
    server_order(where->server, "DEBUG SLEEP %.3f", (double)arena_span_ms(where) / 1000);
}

static redisContext *begin_endless_script(arena *where)
{
    redisContext *other = redisConnectUnix(server_socket(where->server));
    int is_sent = 0;
    if (other == NULL || other->err != 0) abort();
    if (redisAppendCommand(other, "EVAL %s 0", "while true do end") != REDIS_OK) abort();
    while (!is_sent)
        if (redisBufferWrite(other, &is_sent) != REDIS_OK) abort();
    return other;
}

static void end_script(arena *where, redisContext *other)
{
    void *answer = NULL;
    server_order(where->server, "SCRIPT KILL");
    if (redisGetReply(other, &answer) == REDIS_OK) freeReplyObject(answer);
    redisFree(other);
}

static void busy(arena *where)
{
    server_order(where->server, "CONFIG SET lua-time-limit 20");
    redisContext *other = begin_endless_script(where);
    arena_last(where);
    end_script(where, other);
    server_order(where->server, "CONFIG SET lua-time-limit 5000");
}

static void paused(arena *where)
{
    const char *which = dice_below(&where->dice, 2) == 0 ? "ALL" : "WRITE";
    int64_t span_ms = arena_span_ms(where);
    server_order(where->server, "CLIENT PAUSE %lld %s", (long long)span_ms, which);
    arena_pass(span_ms);
}

fault_kinds kinds_of_server(void)
{
    static const fault_kind kinds[] = {
        {"server killed, restarted with its data", restarted},
        {"server frozen", frozen},
        {"command connections killed", connections_killed},
        {"inbox connections killed", inboxes_killed},
        {"scripts flushed", scripts_forgotten},
        {"out of memory", out_of_memory},
        {"MISCONF", cannot_save},
        {"READONLY", read_only},
        {"MASTERDOWN", master_down},
        {"LOADING", loading},
        {"scripts denied by ACL", scripts_denied},
        {"channels denied by ACL", channels_denied},
        {"too many clients", too_many_clients},
        {"server asleep", asleep},
        {"BUSY", busy},
        {"clients paused", paused},
    };
    return (fault_kinds){kinds, sizeof kinds / sizeof *kinds};
}
