/* SPDX-License-Identifier: MIT
 * Opening and closing a client. */
#include "api/client.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/examine.h"
#include "api/options.h"
#include "engine/lease.h"
#include "host/cancellation.h"
#include "host/clock.h"
#include "host/entropy.h"
#include "lane/drive.h"
#include "net/codec.h"
#include "wire/key.h"

enum {
    DEFAULT_TIMEOUT_MS = 2000,
    DEFAULT_LINGER_MS = 5000,
    GRACE_LEAST_MS = 5000,
    DEFAULT_SPIN_US = 60,
    DEFAULT_CONNECTIONS = 32,
    CONNECTIONS_LEAST = 4,
    SPIN_MOST_US = 1000
};
static const int64_t duration_most_ms = INT64_C(30) * 24 * 3600 * 1000;

redlock_client *client_of(const redlock_lock *lock)
{
    return (redlock_client *)((char *)lock->among - offsetof(redlock_client, keeper.locks));
}

/* ---- Memory ---- */

static void free_client(redlock_client *self)
{
    memory from = self->memory;
    fork_guard_close(&self->fork);
    tls_context_free(self->tls);
    if (self->cluster != NULL) cluster_destroy(self->cluster);
    memory_free(&from, self->cluster);
    wake_close(&self->closing);
    delivery_destroy(&self->delivery);
    mutex_destroy(&self->gatherings_mutex);
    gate_destroy(&self->calls);
    memory_free(&from, self->name);
    memory_free_secret(&from, self->user);
    memory_free_secret(&from, self->password);
    memory_free(&from, self->key_prefix);
    memory_free(&from, self->tls_server_name);
    memory_free(&from, self);
}

static void client_unref(redlock_client *self)
{
    if (atomic_fetch_sub(&self->references, 1) != 1) return;
    keeper_destroy(&self->keeper);
    pool_destroy(&self->lanes);
    holds_destroy(&self->holds);
    free_client(self);
}

static void client_free_lock(redlock_lock *lock)
{
    redlock_client *self = client_of(lock);
    memory_free(&self->memory, lock);
    client_unref(self);
}

static bool is_in_callback(const redlock_client *client)
{
    return keeper_is_calling(&client->keeper) || delivery_is_telling(&client->delivery);
}

redlock_status client_enter(const redlock_client *client)
{
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    bool is_inside = is_in_callback(client) || credentials_are_asked_for();
    return is_inside ? REDLOCK_ERR_IN_CALLBACK : REDLOCK_OK;
}

/* ---- Opening ---- */

static bool duration_is_valid(int64_t ms) { return ms >= 0 && ms <= duration_most_ms; }

static redlock_status check(const redlock_client_options *o)
{
    const char *why = NULL;
    if (!duration_is_valid(o->connect_timeout_ms) || !duration_is_valid(o->timeout_ms))
        why = "a timeout is 0 (the default) to 30 days";
    else if (o->linger_ms < -1 || o->linger_ms > duration_most_ms)
        why = "linger_ms is -1 (not at all), 0 (the default) to 30 days";
    else if (o->spin_us < -1 || o->spin_us > SPIN_MOST_US)
        why = "spin_us is -1 (never), 0 (the default) to 1000";
    else if (o->max_connections != 0 && o->max_connections < CONNECTIONS_LEAST)
        why = "max_connections is 0 (the default) or at least 4";
    else if (o->key_prefix != NULL && !key_prefix_is_valid(o->key_prefix))
        why = "key_prefix has braces or control characters, or is too long";
    else if ((o->allocator.allocate == NULL) != (o->allocator.release == NULL))
        why = "an allocator has both functions or none";
    else if ((unsigned)o->host > REDLOCK_HOST_MANUAL) why = "host is not a redlock_host";
    else if ((unsigned)o->log_level > REDLOCK_LOG_SILENT) why = "log_level is not a level";
    detail_write(o->detail, why);
    return why == NULL ? REDLOCK_OK : REDLOCK_ERR_ARGUMENT;
}

static redlock_status check_process(redlock_detail *detail)
{
    if (codec_is_known()) return REDLOCK_OK;
    detail_write(detail, "this process has another hiredis than the one we were built for");
    return REDLOCK_ERR_SYSTEM;
}

static redlock_status copy_text(redlock_client *self, char **out, const char *text)
{
    return memory_copy_text(&self->memory, out, text) ? REDLOCK_OK : REDLOCK_ERR_MEMORY;
}

static redlock_status keep_login(redlock_client *self, const endpoint_login *login,
                                 const redlock_client_options *o)
{
    const char *user = o->user != NULL ? o->user : login->user;
    const char *password = o->password != NULL ? o->password : login->password;
    if (strlen(user) > CREDENTIAL_MOST || strlen(password) > CREDENTIAL_MOST) {
        detail_write(o->detail, "user or password is too long");
        return REDLOCK_ERR_ARGUMENT;
    }
    redlock_status status = copy_text(self, &self->user, user);
    return status == REDLOCK_OK ? copy_text(self, &self->password, password) : status;
}

/* The map begins with the seeds, and knows no more. */
static redlock_status keep_seeds(redlock_client *self, const endpoint_list *servers)
{
    self->cluster = memory_new(&self->memory, sizeof *self->cluster);
    if (self->cluster == NULL) return REDLOCK_ERR_MEMORY;
    cluster_init(self->cluster, &self->memory, &self->home.outage);
    for (size_t i = 0; i < servers->count; i++)
        if (cluster_node(self->cluster, &servers->at[i]) == NULL) return REDLOCK_ERR_MEMORY;
    self->route = (route){.home = cluster_numbered(self->cluster, 0), .cluster = self->cluster};
    return REDLOCK_OK;
}

static redlock_status keep_servers(redlock_client *self, const endpoint_list *servers)
{
    self->server = servers->at[0];
    self->home.server = &self->server;
    self->home.outage.stakes = keeper_write_stakes;
    self->home.outage.stakes_arg = &self->keeper;
    self->route.home = &self->home;
    return servers->kind == TOPOLOGY_CLUSTER ? keep_seeds(self, servers) : REDLOCK_OK;
}

/* What a URI comes to: more than a stack has room for, and a secret. */
typedef struct uri_parts {
    endpoint_list servers;
    endpoint_login login;
} uri_parts;

static redlock_status read_uri(redlock_client *self, const char *uri,
                               const redlock_client_options *o)
{
    uri_parts *read = memory_new(&self->memory, sizeof *read);
    if (read == NULL) return REDLOCK_ERR_MEMORY;
    redlock_status status = endpoint_parse(&read->servers, &read->login, uri, o->detail);
    if (status == REDLOCK_OK) status = keep_servers(self, &read->servers);
    if (status == REDLOCK_OK) status = keep_login(self, &read->login, o);
    memory_wipe(read, sizeof *read);
    memory_free(&self->memory, read);
    return status;
}

static redlock_status find_server(redlock_client *self, const char *uri,
                                  const redlock_client_options *o)
{
    redlock_status status = read_uri(self, uri, o);
    if (status != REDLOCK_OK || !self->server.use_tls) return status;
    return tls_context_new(&self->tls, o, &self->memory, o->detail);
}

static redlock_status copy_texts(redlock_client *self, const redlock_client_options *o)
{
    const char *prefix = o->key_prefix ? o->key_prefix : "redlock:";
    redlock_status status = copy_text(self, &self->key_prefix, prefix);
    if (status == REDLOCK_OK) status = copy_text(self, &self->tls_server_name, o->tls_server_name);
    if (status == REDLOCK_OK) status = copy_text(self, &self->name, o->name);
    return status;
}

static redlock_status identify(redlock_client *self)
{
    uint8_t random[IDENTITY_RANDOM_BYTES];
    char host[256] = "";
    if (!entropy_fill(random, sizeof random)) return REDLOCK_ERR_SYSTEM;
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    identity_make(&self->who, random, host, (long)getpid(), self->name);
    memcpy(&self->config.jitter_seed, random, sizeof self->config.jitter_seed);
    atomic_store(&self->nonces, 1);
    return REDLOCK_OK;
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

/* What is beyond it is carried by the keeper; where that has no thread, there is no bound. */
static unsigned most_lanes(const redlock_client_options *o)
{
    int connections = o->max_connections != 0 ? o->max_connections : DEFAULT_CONNECTIONS;
    return o->host == REDLOCK_HOST_MANUAL ? 0 : (unsigned)(connections - BERTH_CONNS) / BERTH_CONNS;
}

static void take_options(redlock_client *self, const redlock_client_options *o)
{
    self->timeout_us = or_default(o->timeout_ms, DEFAULT_TIMEOUT_MS) * US_PER_MS;
    self->linger_ms = o->linger_ms == -1 ? 0 : or_default(o->linger_ms, DEFAULT_LINGER_MS);
    self->grace_ms = self->linger_ms > GRACE_LEAST_MS ? self->linger_ms : GRACE_LEAST_MS;
    self->lane_terms = (lane_terms){.config = &self->config,
                                    .route = &self->route,
                                    .key_prefix = self->key_prefix,
                                    .who = &self->who,
                                    .lanes_most = most_lanes(o)};
    self->config.user = self->user;
    self->config.password = self->password;
    self->config.credentials = (credentials_source){o->credentials, o->credentials_arg};
    self->config.client_name = self->name;
    self->config.connect_timeout_us = or_default(o->connect_timeout_ms, DEFAULT_TIMEOUT_MS) *
                                      US_PER_MS;
    self->config.tls = self->tls;
    self->config.tls_server_name = self->tls_server_name;
    self->config.memory = &self->memory;
    self->config.log = &self->log;
    self->config.counters = &self->counters;
    self->config.spin_us = o->spin_us == -1 ? 0 : or_default(o->spin_us, DEFAULT_SPIN_US);
    /* A spinner takes a processor from somebody, perhaps from the server: never more than half of
     * them. */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    self->config.spinners_most = processors > 1 ? (unsigned)processors / 2 : 0;
}

static void close_from_keeper(keeper *keeps);

static redlock_status start_client(redlock_client *self)
{
    keeper_terms terms = {.config = &self->config,
                          .lane_terms = &self->lane_terms,
                          .nonces = &self->nonces,
                          .timeout_us = self->timeout_us,
                          .linger_ms = self->linger_ms,
                          .grace_ms = self->grace_ms,
                          .stats = &self->stats,
                          .free_lock = client_free_lock,
                          .close = close_from_keeper,
                          .host = self->host,
                          .fork = &self->fork};
    if (!wake_open(&self->closing)) return REDLOCK_ERR_SYSTEM;
    if (self->host == REDLOCK_HOST_DELIVER && !delivery_open(&self->delivery))
        return REDLOCK_ERR_SYSTEM;
    redlock_status status = keeper_init(&self->keeper, &terms);
    if (status != REDLOCK_OK) return status;
    if (self->cluster != NULL) self->cluster->wake = &self->keeper.locks.wake;
    holds_init(&self->holds, &self->memory);
    pool_init(&self->lanes, &self->lane_terms);
    return REDLOCK_OK;
}

static redlock_status make(redlock_client *self, const char *uri, const redlock_client_options *o)
{
    self->closing.fd = -1;
    self->host = o->host;
    delivery_init(&self->delivery, &self->fork);
    mutex_init(&self->gatherings_mutex);
    gate_init(&self->calls);
    atomic_store(&self->references, 1);
    self->log = event_log_from(o->log, o->log_arg, o->log_level);
    fork_guard_open(&self->fork);
    redlock_status status = find_server(self, uri, o);
    if (status == REDLOCK_OK) status = copy_texts(self, o);
    if (status == REDLOCK_OK) status = identify(self);
    take_options(self, o);
    return status == REDLOCK_OK ? start_client(self) : status;
}

/* connect_now: one connection, made before redlock_open returns and then kept for the first
 * call. */
static redlock_status connect_now(redlock_client *self, redlock_detail *detail)
{
    lane *on;
    redlock_status status = pool_borrow(&self->lanes, &on, clock_now_us());
    if (status != REDLOCK_OK) return status;
    status = lane_connect(on, detail);
    if (status == REDLOCK_OK) examine_server(self, on);
    pool_return(&self->lanes, on, clock_now_us());
    return status;
}

static redlock_status open_with(const char *uri, const redlock_client_options *o,
                                redlock_client **client)
{
    memory from = memory_from(&o->allocator);
    redlock_client *self = memory_new(&from, sizeof *self);
    if (self == NULL) return REDLOCK_ERR_MEMORY;
    self->memory = from;
    redlock_status status = make(self, uri, o);
    if (status != REDLOCK_OK) {
        free_client(self);
        return status;
    }
    if (o->connect_now) status = connect_now(self, o->detail);
    if (status == REDLOCK_OK) *client = self;
    else redlock_close(self);
    return status;
}

redlock_status redlock_open(const char *uri, const redlock_client_options *options,
                            redlock_client **client)
{
    redlock_client_options o;
    if (client == NULL) return REDLOCK_ERR_ARGUMENT;
    *client = NULL;
    if (uri == NULL || !options_copy(&o, sizeof o, options)) return REDLOCK_ERR_ARGUMENT;
    detail_write(o.detail, "");
    redlock_status status = check(&o);
    if (status == REDLOCK_OK) status = check_process(o.detail);
    if (status != REDLOCK_OK) return status;
    int before = cancellation_defer();
    status = open_with(uri, &o, client);
    cancellation_restore(before);
    return status;
}

static redlock_status close_all(redlock_client *client)
{
    wake_raise(&client->closing);
    pool_close(&client->lanes);
    keeper_close(&client->keeper, clock_now_us() + client->timeout_us);
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED; /* which a callback made */
    gate_close(&client->calls);
    if (client->host == REDLOCK_HOST_DELIVER) delivery_tell_all(&client->delivery);
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    client_unref(client);
    return REDLOCK_OK;
}

redlock_status client_close(redlock_client *client)
{
    int before = cancellation_defer();
    redlock_status status = close_all(client);
    cancellation_restore(before);
    return status;
}

static void close_from_keeper(keeper *keeps)
{
    (void)client_close((redlock_client *)((char *)keeps - offsetof(redlock_client, keeper)));
}

/* In a callback the client is needed a little longer: whoever runs the callback closes it
 * afterwards. */
redlock_status redlock_close(redlock_client *client)
{
    if (client == NULL) return REDLOCK_OK;
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    if (credentials_are_asked_for()) return REDLOCK_ERR_IN_CALLBACK; /* it is connecting */
    if (!is_in_callback(client)) return client_close(client);
    if (client->host == REDLOCK_HOST_DELIVER) delivery_request_close(&client->delivery);
    else atomic_store(&client->keeper.close_requested, true);
    return REDLOCK_OK;
}
