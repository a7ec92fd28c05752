/* SPDX-License-Identifier: MIT
 * What a client is made of. Private to the api.
 *
 * The memory of a client lives until redlock_close was called and the last lock handle is released:
 * both count as references. */
#ifndef REDLOCK_API_CLIENT_H
#define REDLOCK_API_CLIENT_H

#include <stdatomic.h>

#include "api/delivery.h"
#include "api/holds.h"
#include "host/fork.h"
#include "host/gate.h"
#include "host/mutex.h"
#include "host/wake.h"
#include "keeper/keeper.h"
#include "lane/pool.h"

struct redlock_client {
    _Atomic unsigned references;
    gate calls; /* in progress that are given the client: redlock_close waits for them */
    memory memory;
    event_log log;
    fork_guard fork;
    endpoint server;
    node home;
    cluster *cluster;      /* NULL: a single server, which is the home */
    char *user, *password; /* "" for none */
    char *name;            /* the user's; NULL for none */
    char *key_prefix;
    char *tls_server_name; /* NULL: that of each node */
    identity who;
    tls_context *tls; /* NULL: plain */
    conn_counters counters;
    conn_config config;
    route route;
    lane_terms lane_terms;
    seldom failed_releases;
    redlock_stats stats; /* all but what `counters` has */
    _Atomic int64_t nonces;
    _Atomic uint64_t hold_count; /* numbers the acquisitions */
    holds holds;
    int64_t timeout_us;
    int64_t linger_ms, grace_ms;
    redlock_host host;
    delivery delivery; /* for REDLOCK_HOST_DELIVER */
    mutex gatherings_mutex;
    struct gathering *gatherings; /* acquisitions of sets that are under way */
    wake closing;                 /* raised once redlock_close began: ends every wait */
    pool lanes;
    keeper keeper;
};

/* Closes, outside of callbacks. */
redlock_status client_close(redlock_client *client);

redlock_client *client_of(const redlock_lock *lock);

/* May a blocking call begin on this thread? REDLOCK_OK, _ERR_FORKED or _ERR_IN_CALLBACK. */
redlock_status client_enter(const redlock_client *client);

#endif
