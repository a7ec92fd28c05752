/* SPDX-License-Identifier: MIT
 * The stage of successions: a primary, its replica, and one address, which leads to one of them. */
#ifndef REDLOCK_TESTS_LIVE_SUCCESSION_H
#define REDLOCK_TESTS_LIVE_SUCCESSION_H

#include "live/modes_stage.h"

typedef struct succession {
    stage stage; /* `server` is the one at the address */
    server *primary, *replica;
    char address[128]; /* a symbolic link to a server's socket */
} succession;

static inline bool follows(void *replica)
{
    redisReply *answer = server_command(replica, "INFO replication");
    bool is_up = strstr(answer->str, "master_link_status:up") != NULL;
    freeReplyObject(answer);
    return is_up;
}

static inline void move_address(succession *self, server *to)
{
    unlink(self->address);
    assert_int_equal(symlink(server_socket(to), self->address), 0);
    self->stage.server = to;
}

static inline void start_servers(succession *self, int64_t replica_clock_ms)
{
    self->primary = server_start_tcp("--repl-diskless-sync-delay 0");
    self->replica = server_start_with_clock(NULL);
    server_shift_clock(self->replica, replica_clock_ms);
    server_order(self->replica, "REPLICAOF 127.0.0.1 %d", server_tcp_port(self->primary));
    eventually(follows, self->replica);
    snprintf(self->address, sizeof self->address, "%s/address", server_directory(self->replica));
    move_address(self, self->primary);
}

static inline int succession_begin(void **state)
{
    static succession the;
    char uri[160];
    int64_t replica_clock_ms = *(const int64_t *)*state;
    memset(&the, 0, sizeof the);
    *state = &the;
    pthread_mutex_init(&the.stage.journal.mutex, NULL);
    start_servers(&the, replica_clock_ms);
    snprintf(uri, sizeof uri, "unix://%s", the.address);
    the.stage.client = stage_open(&the.stage, uri, REDLOCK_CLIENT_OPTIONS(LOGGED(&the.stage)));
    the.stage.other = stage_open(&the.stage, uri, REDLOCK_CLIENT_OPTIONS(LOGGED(&the.stage)));
    return 0;
}

static inline int succession_end(void **state)
{
    succession *self = *state;
    void *plain = &self->stage;
    self->stage.server = self->replica;
    stage_end(&plain);
    server_stop(self->primary);
    return 0;
}

/* WAIT is about the writes of its own connection: one that comes behind all others stands for
 * them. */
static inline void await_replica(succession *self)
{
    server_order(self->primary, "SET last-write 1");
    assert_int_equal(server_number(self->primary, "WAIT 1 5000"), 1);
}

#endif
