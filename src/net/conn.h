/* SPDX-License-Identifier: MIT
 * One connection to one server: a socket that we own, driven by whoever pumps it.
 *
 *          open            address           connected         TLS done         greeted
 *   CLOSED -----> RESOLVING -------> CONNECTING ------> SECURING ------> GREETING -----> OPEN
 *      ^              |                  |                 |                |             |
 *      +--------------+------------------+-----------------+----------------+-------------+
 *                 conn_close: failure, deadline, end of file, or by the owner
 *
 * (Numeric addresses and Unix sockets skip RESOLVING; plain connections skip SECURING.) The
 * greeting is AUTH, CLIENT SETNAME and SELECT as far as they are configured; with nothing to send,
 * GREETING is skipped. Where a callback knows the credentials, and the server refuses what it gave,
 * all of it is said once more with what it gives then.
 *
 * Commands may be submitted in every state but CLOSED: they leave, in order, in one write with
 * whatever else is ready, once the connection is open (bytes are held back during SECURING and
 * GREETING).
 *
 * The promise: every submitted call is answered exactly once, by a reply, or by NULL when the
 * connection ends first (where there are very many, in portions: see conn_close and
 * conn_has_pending). A connection that was silent for longer than the owner of any call bears is
 * closed (conn_tick).
 *
 * A server that says that it is the wrong one to ask (READONLY, MASTERDOWN, UNBLOCKED: it became a
 * replica) is asked no more: once all that has come is read, the connection is closed, and the next
 * one resolves the name anew. Behind one address, or one name, that finds the server which was
 * promoted.
 *
 * Bytes do not outlive their connection, as far as that is up to us: where calls are unanswered and
 * it ends by a failure, or the kernel has to send them again, or where something is unsent, the
 * kernel is told to drop what it has (a reset). Otherwise it would go on sending for minutes, and a
 * question would be carried out after whatever was done in its place.
 *
 * Never blocks but in conn_receive_soon. Not thread-safe: one thread at a time. */
#ifndef REDLOCK_NET_CONN_H
#define REDLOCK_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "host/log.h"
#include "host/memory.h"
#include "host/portion.h"
#include "net/codec.h"
#include "net/credentials.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "topology/node.h"
#include "wire/command.h"
#include "wire/reply.h"

/* One command in flight, embedded in its owner, which must outlive it. */
typedef struct call call;
struct call {
    call *next;
    int64_t deadline_us; /* so long its owner is patient; see conn_tick */
    int64_t sent_us;     /* set by conn_submit: a clock reading from before the bytes can leave */
    /* `from` is NULL when the connection ended: the outcome is unknown. It is valid during the call
     * only. May submit, and may close the connection. */
    void (*answered)(call *self, const reply *from, int64_t now_us);
    bool has_forerunner; /* the next reply is to what went before it: see conn_submit_behind */
};

/* What all connections of a client share, whatever the server; outlives them. */
typedef struct conn_config {
    const char *user, *password;    /* for AUTH; NULL or "": none */
    credentials_source credentials; /* asked instead of the password, if there is one */
    const char *client_name;        /* for CLIENT SETNAME (a refusal is ignored); NULL: not sent */
    int64_t connect_timeout_us;     /* from conn_open to OPEN */
    tls_context *tls;               /* NULL: plain */
    const char *tls_server_name;    /* NULL: the host that is connected to */
    const memory *memory;
    const event_log *log;
    struct conn_counters *counters; /* may be NULL */
    uint32_t jitter_seed;
    int64_t spin_us;        /* see conn_receive_soon; 0: never */
    unsigned spinners_most; /* of all connections together */
} conn_config;

/* Counted with relaxed atomics, for many connections at once. */
typedef struct conn_counters {
    _Atomic uint64_t commands, writes, connections, connections_lost;
    _Atomic unsigned spinning; /* threads that poll actively at this moment */
    _Atomic bool told_unheard; /* see inbox_distrust */
} conn_counters;

enum conn_state {
    CONN_CLOSED,
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_SECURING,
    CONN_GREETING,
    CONN_OPEN
};

typedef struct conn conn;

/* The latest source of one script that a connection took. It belongs to lane/loading.c. */
typedef struct sent_source {
    call load; /* first: of SCRIPT LOAD, while is_loading */
    conn *on;
    bool is_loading;
    int known;           /* of SCRIPT LOAD when it was sent */
    unsigned generation; /* of the connection */
    uint64_t number;     /* counts the sources of all scripts; 0: there was none */
} sent_source;

struct conn {
    const conn_config *config;
    node *to;
    enum conn_state state;
    int fd;                    /* -1 when there is none */
    int64_t state_deadline_us; /* for the whole way to OPEN */
    int64_t retry_at_us;       /* CLOSED: not to be opened before this; see conn_retry_us */
    uint64_t news_seen;        /* what to->served was when that was decided */
    unsigned failures;         /* attempts that failed since it last served us */
    redlock_status failure;    /* why it was last closed; REDLOCK_OK if never or by the owner */
    redlock_detail failure_detail;
    lookup *lookup;
    address_list addresses;
    int address_index;           /* the one being tried */
    bool was_silent;             /* one of them was, on this way */
    bool is_second_round;        /* all were tried briefly */
    int64_t address_deadline_us; /* CONNECTING: its share of the time */
    tls_session *tls;
    bool tls_wants_write;
    bool has_received;   /* bytes came on this connection */
    bool has_answered;   /* a call was answered on it ... */
    bool has_served;     /* ... and not with an error: whoever listens there serves us */
    bool is_crowded;     /* there was no room for it: the server has too many, or the process */
    bool is_misplaced;   /* whoever listens there says that another is to be asked */
    int64_t answer_us;   /* how long answers took lately: a moving average */
    int64_t received_us; /* when bytes last came */
    int64_t silent_us;   /* before this nobody's patience with a silent server ends */
    unsigned generation; /* counts the closings: who calls out compares it afterwards */
    sent_source sources[SCRIPT_COUNT];
    uint64_t sources_sent;  /* of all scripts, in all generations */
    outbox greeting;        /* bytes of the greeting not yet written; with the password */
    unsigned greeting_due;  /* the steps of it whose replies are still to come, as bits */
    bool greets_again;      /* AUTH was refused; other credentials are asked for when all replies of
                               this greeting have come ... */
    bool has_greeted_again; /* ... which is done once */
    outbox out;             /* bytes of calls not yet written */
    codec_reader *reader;
    call *first, *last;   /* calls in flight, oldest first */
    call *cut, *cut_last; /* calls whose connection ended, and that were not told yet */
    /* RESP2 pub/sub: receives every ["message", channel, payload], and ["smessage", ...]; NULL on a
     * command connection. Must not close the connection. */
    void (*on_message)(conn *self, const reply *channel, const reply *payload, int64_t now_us);
    /* There, too: the server ended a subscription by itself, ["sunsubscribe", channel, count]. */
    void (*on_unsubscribed)(conn *self, const reply *channel, int64_t now_us);
    /* A descriptor is about to be closed; NULL: nobody has to know. */
    void (*on_closing)(void *closing_arg, conn *self, int fd);
    void *closing_arg;
    short watched_for; /* poll(2) events; see keeper/poller.h. 0: its descriptor is not watched */
    void *owner;
    uint32_t jitter; /* state of the jitter's generator */
};

/* `to` outlives it. */
void conn_init(conn *self, const conn_config *config, node *to);
/* Closes and frees. */
void conn_destroy(conn *self);

/* Starts to connect, from CLOSED (otherwise does nothing). Does not look at conn_retry_us: the
 * owner does. Afterwards the state may be CLOSED again, with a failure. */
void conn_open(conn *self, int64_t now_us);

/* Is it closed because there was no room for it? */
static inline bool conn_found_no_room(const conn *self)
{
    return self->state == CONN_CLOSED && self->is_crowded;
}

/* CLOSED: why, for whoever was cut. */
static inline redlock_status conn_why_cut(const conn *self)
{
    return self->failure == REDLOCK_OK ? REDLOCK_ERR_CONNECT : self->failure;
}

/* CLOSED: from when on it may be opened. A connection that did not serve us backs off, with jitter,
 * up to 2 s; but another one to that server that was served since is news, and ends that. */
int64_t conn_retry_us(const conn *self);

/* May it be opened earlier for once, since its owner cannot wait for so long? Not so often that a
 * server which is away notices. */
bool conn_may_hurry(const conn *self, int64_t now_us);

/* Closes; every call in flight is answered NULL, in order, after the state is CLOSED. `why`
 * REDLOCK_OK: by the owner, not a failure: then all are answered before it returns, otherwise
 * CONN_CUT_AT_ONCE of them. */
enum { CONN_CUT_AT_ONCE = PORTION(128, 1) };
void conn_close(conn *self, redlock_status why, const char *detail, int64_t now_us);

/* Closes by the owner, who no longer waits for the calls in flight, with `undo` behind them: both
 * leave, however late, but in this order. True if so; otherwise what has not arrived yet shall not
 * arrive any more. */
bool conn_close_behind(conn *self, const command *undo, int64_t now_us);

/* Queues a command and its call. False when out of memory or CLOSED: then nothing is queued. */
bool conn_submit(conn *self, call *call, const command *cmd, int64_t now_us);

/* The same with a command before it whose own reply concerns nobody. */
bool conn_submit_behind(conn *self, call *call, const command *first, const command *cmd,
                        int64_t now_us);

/* Writes what is ready, as far as the socket takes it. Called once after a round of submissions. */
void conn_flush(conn *self, int64_t now_us);

/* What to wait for: a descriptor (-1: none) and poll(2) events. */
int conn_poll_fd(const conn *self);
short conn_poll_events(const conn *self);
/* Must conn_ready be called without waiting (decrypted bytes in hand, calls to be told that they
 * were cut)? */
bool conn_has_pending(const conn *self);
/* When conn_tick is due; INT64_MAX for never. */
int64_t conn_wake_us(const conn *self);

/* Reads and writes what it can after poll said `revents`; answers calls; moves the state. */
void conn_ready(conn *self, short revents, int64_t now_us);
/* Enforces the deadline of the state; and closes when the server was silent for as long as the
 * owner of any call is patient: since that call was sent, or since anything came. Others share the
 * connection, and while answers come it serves them, however late each is. */
void conn_tick(conn *self, int64_t now_us);

/* The short cut of a blocking caller that waits for this connection alone: one blocking recv of at
 * most about CONN_RECEIVE_SOON_MS (SO_RCVTIMEO), which saves the poll. Processes what came. False
 * when the short cut does not apply (not OPEN, TLS, unsent bytes) or nothing came: then poll.
 *
 * While answers have been taking less than spin_us, and if it is worth that, it first polls
 * actively for so long: falling asleep and being woken takes as long as a server on the same
 * machine needs to answer. A slower server is never spun for, nor does a loaded machine keep
 * spinning, since both show in answer_us. */
enum { CONN_RECEIVE_SOON_MS = 4 };
bool conn_receive_soon(conn *self, bool may_spin);

#endif
