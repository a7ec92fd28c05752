/* SPDX-License-Identifier: MIT
 *
 * redlock.h - distributed locks on Redis and Valkey.
 *
 * Read this file from top to bottom: it is the manual.
 *
 *     redlock_client *client;
 *     if (redlock_open("redis://localhost:6379", NULL, &client) != REDLOCK_OK) return 1;
 *
 *     redlock_lock *lock;
 *     redlock_status st = redlock_acquire(
 *         client, "invoice:42", REDLOCK_OPTIONS(.ttl_ms = 10000, .wait_ms = 5000), &lock);
 *     if (st == REDLOCK_OK) {
 *         pay(redlock_fence(lock));
 *         st = redlock_release(lock);
 *     }
 *     redlock_close(client);
 *
 * Five rules hold everywhere:
 *
 * Time.      Durations are milliseconds in int64_t, 30 days at the most. They are measured on
 *            CLOCK_BOOTTIME, which is monotonic and counts while the machine sleeps. A lease counts
 *            from before its request was sent, less an allowance for clock drift (1 % and 2 ms: of
 *            2 ms nothing is left), so the holder always stops believing before the server does.
 * Zero.      Zero means "the default" for every field of every options structure.
 * Threads.   A client may be used by any number of threads at once. A lock handle may be read
 *            (redlock_is_held, redlock_fence, ...) by any thread, and must be released once. A
 *            thread that is cancelled (pthread_cancel, deferred) inside a call ends behind it; to
 *            end a wait earlier there are cancellers. What that call handed out goes with the
 *            thread, unless a cleanup handler gives it back.
 * Ownership. What a function hands out, the caller gives back with the function that the comment
 *            names. Strings and structures that are passed in are copied before the call returns.
 * Fork.      A client belongs to the process that opened it. In a child of fork() every call that
 *            has a status returns REDLOCK_ERR_FORKED and writes nothing on the parent's sockets, no
 *            lock is held, and cancellers do nothing; open a client of its own there. A child that
 *            a callback makes hears of nothing else: redlock_process returns there, and the
 *            library's own thread ends.
 *
 * The library never prints (but see redlock_log_fn), never exits, and raises no signal.
 *
 * What it takes. A thread inside a blocking call has a connection of its own, whatever it holds,
 * and a second one if it waits; both stay open for the next call until redlock_close, so that a
 * client has as many as threads were ever inside at once. Asynchronous operations share two more,
 * and renewals use the first of them. A client has 10 KB, 3 or 4 descriptors, and one thread once
 * something has to happen in the background (redlock_host); each thread inside a call 30 KB for its
 * connections, and less than 32 KB of its stack; a lock 400 bytes and its name twice. (TLS takes
 * more memory, which is OpenSSL's.) The look-up of a host name has a thread until it is answered,
 * which may be 30 s after redlock_close; in a library that was built with c-ares it has none. */
#ifndef REDLOCK_REDLOCK_H
#define REDLOCK_REDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDLOCK_VERSION_MAJOR 0
#define REDLOCK_VERSION_MINOR 1
#define REDLOCK_VERSION_PATCH 0

#if defined(__GNUC__)
#define REDLOCK_API __attribute__((visibility("default")))
#define REDLOCK_MUST_CHECK __attribute__((warn_unused_result))
#else
#define REDLOCK_API
#define REDLOCK_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status -----------------------------------------------------------------------------------
 *
 * The sign tells the kind: zero is done, a positive status is an ordinary "no", a negative one a
 * failure. Each line is (name, value, what redlock_strerror says).
 *
 * A key that holds no lock of this version is never changed: a sorted set that is none answers
 * REDLOCK_ERR_LAYOUT, also one that an earlier version wrote, and every other type
 * REDLOCK_ERR_WRONG_TYPE.
 */
#define REDLOCK_STATUSES(X)                                                                        \
    X(OK, 0, "done")                                                                               \
    X(BUSY, 1, "the lock is held by another owner")                                                \
    X(TIMED_OUT, 2, "the wait ended before the lock became free")                                  \
    X(CANCELLED, 3, "the wait was cancelled")                                                      \
    X(LOST, 4, "the lease ended or was taken away before the release")                             \
    X(DEADLOCK, 5, "the caller would wait for itself")                                             \
    X(ERR_ARGUMENT, -1, "an argument or option is out of range")                                   \
    X(ERR_NAME, -2, "a lock name has 1 to 65536 bytes")                                            \
    X(ERR_TTL, -3, "a time to live is 1 ms to 30 days")                                            \
    X(ERR_URI, -4, "the URI is malformed")                                                         \
    X(ERR_MEMORY, -5, "out of memory")                                                             \
    X(ERR_SYSTEM, -6, "the operating system refused a thread, a descriptor or randomness")         \
    X(ERR_RESOLVE, -7, "the server's name does not resolve")                                       \
    X(ERR_CONNECT, -8, "the server cannot be reached or the connection was lost")                  \
    X(ERR_TIMEOUT, -9, "the server did not answer in time; the outcome is unknown")                \
    X(ERR_TLS, -10, "the TLS handshake or the certificate check failed")                           \
    X(ERR_TLS_UNAVAILABLE, -11, "this library was built without TLS")                              \
    X(ERR_DENIED, -12, "the server refused the credentials or a command (ACL)")                    \
    X(ERR_UNAVAILABLE, -13, "the server cannot serve us now")                                      \
    X(ERR_SERVER, -14, "the server does not know, or does not support, what it was asked")         \
    X(ERR_PROTOCOL, -15, "the server's answer is not one this library understands")                \
    X(ERR_WRONG_TYPE, -16, "the key of this lock holds something that is not a lock")              \
    X(ERR_QUEUE_FULL, -17, "too many waiters queue for this lock")                                 \
    X(ERR_CLOSED, -18, "the client was closed")                                                    \
    X(ERR_FORKED, -19, "the client belongs to the parent process")                                 \
    X(ERR_IN_CALLBACK, -20, "a blocking call is not allowed inside a callback")                    \
    X(ERR_LAYOUT, -21, "the key of this lock was written by another version, or is no lock at all")

typedef enum redlock_status {
#define REDLOCK_STATUS_ENUM(name, value, text) REDLOCK_##name = (value),
    REDLOCK_STATUSES(REDLOCK_STATUS_ENUM)
#undef REDLOCK_STATUS_ENUM
} redlock_status;

/* What a status says, in one sentence: a static string, never NULL, for any value. */
REDLOCK_API const char *redlock_strerror(redlock_status status);

/* The status's own name, such as "REDLOCK_BUSY": a static string, never NULL. */
REDLOCK_API const char *redlock_status_name(redlock_status status);

/* Where a status needs more words (the server's own error text, the offending part of a URI), they
 * are written here by the calls that take one; empty when there is nothing to add. Text from
 * outside is escaped; no password is ever in it. For the calls that take none there is
 * redlock_why_failed. */
typedef struct redlock_detail {
    char text[256];
} redlock_detail;

/* ---- Log --------------------------------------------------------------------------------------*/

typedef enum redlock_level {
    REDLOCK_LOG_ERROR = 1,
    REDLOCK_LOG_WARNING = 2,
    REDLOCK_LOG_INFO = 3,
    REDLOCK_LOG_DEBUG = 4,
    REDLOCK_LOG_SILENT = 5 /* as log_level: nothing is logged */
} redlock_level;

/* Receives one line without its newline. Called from any thread that uses the client and from the
 * keeper, from several at once, with no lock of the library held; it must not call the library. The
 * default, when no function is given, writes warnings and errors to stderr. */
typedef void redlock_log_fn(void *arg, redlock_level level, const char *line);

/* ---- Client -----------------------------------------------------------------------------------*/

typedef struct redlock_client redlock_client;

/* Where the client's memory comes from. Both functions are given, or none (malloc and free). They
 * are called from any thread. What hiredis, OpenSSL and c-ares allocate inside is theirs; a
 * canceller and a name look-up take malloc. */
typedef struct redlock_allocator {
    void *(*allocate)(void *arg, size_t size);
    void (*release)(void *arg, void *memory);
    void *arg;
} redlock_allocator;

/* Who runs what happens in the background: renewals, on_lost (and with it on_risk), asynchronous
 * operations.
 *
 * KEEPER   a thread of the client's own; completions and on_lost run on it
 * DELIVER  the same thread, but completions of asynchronous operations wait for redlock_process,
 *          which runs them on the caller's thread; redlock_fd is readable when some wait. on_lost
 *          still runs on the client's thread
 * MANUAL   no thread at all: EVERYTHING, RENEWALS INCLUDED, HAPPENS INSIDE redlock_process ONLY.
 *          Call it whenever redlock_fd is readable. Blocking calls still work, on the calling
 *          thread, but renew nothing. A wait that ends without the lock leaves the queue before it
 *          returns (in what is left of its time, of timeout_ms at the most, and 5 ms at the least),
 *          and a lock that was handed over has its whole ttl_ms when the call returns, as far as
 *          the server answers */
typedef enum redlock_host {
    REDLOCK_HOST_KEEPER = 0,
    REDLOCK_HOST_DELIVER = 1,
    REDLOCK_HOST_MANUAL = 2
} redlock_host;

typedef struct redlock_credentials redlock_credentials;

/* Asked for user and password whenever a connection is made, just before AUTH is sent: for tokens
 * that expire (the option `credentials`). It hands them over by redlock_credentials_set and answers
 * REDLOCK_OK. Or it tells why there are none: REDLOCK_ERR_DENIED ends the calls that wait for this
 * connection, like a refusal of the server; whatever else counts as REDLOCK_ERR_UNAVAILABLE, which
 * waits outlast: it is asked again with the next attempt, and these are as rare as on a server that
 * is away. Renewals go on in either case, for as long as the lease lasts. `why` may be given words
 * that explain it; they may be logged, so no secret belongs there. REDLOCK_OK with nothing handed
 * over is REDLOCK_ERR_DENIED.
 *
 * was_refused  the server has just refused what was handed over for this connection (it expired, or
 *              was revoked), and another is wanted. If that is refused, too, the connection fails
 *              with REDLOCK_ERR_DENIED
 *
 * It runs on whichever thread connects: that of a blocking call, the client's own, or inside
 * redlock_process; on several at once, with no lock of the library held. What else that thread has
 * to do waits, renewals, too: what takes longer than a few milliseconds, such as fetching a token,
 * is done ahead of time elsewhere. It must not call the library, but for redlock_credentials_set
 * (what blocks, and redlock_close, answer REDLOCK_ERR_IN_CALLBACK), and must not return in a child
 * of fork(). */
typedef redlock_status redlock_credentials_fn(void *arg, bool was_refused, redlock_credentials *to,
                                              redlock_detail *why);

/* Hands them over; inside the callback that is asked, and the latest call counts. They are copied
 * before it returns, and overwritten in the library's memory once they were sent. `user` NULL: that
 * of the options, or of the URI; `password` NULL: none; neither user nor password: no AUTH is sent.
 * REDLOCK_OK, REDLOCK_ERR_ARGUMENT for what is longer than 8192 bytes, or REDLOCK_ERR_MEMORY; the
 * callback may answer what this does. */
REDLOCK_API redlock_status redlock_credentials_set(redlock_credentials *to, const char *user,
                                                   const char *password);

typedef struct redlock_client_options {
    size_t struct_size;         /* stamped by REDLOCK_CLIENT_OPTIONS */
    redlock_host host;          /* default REDLOCK_HOST_KEEPER */
    const char *name;           /* shown to people who look who holds a lock; default: none */
    const char *key_prefix;     /* default "redlock:"; 256 bytes; no braces, no controls */
    const char *user;           /* overrides the URI's; its least rights (ACL): docs/protocol.md;
                                   without a password it is one that needs none */
    const char *password;       /* overrides the URI's; as the user, 8192 bytes at the most. One
                                   that expires: `credentials` */
    int64_t connect_timeout_ms; /* for name, connection, TLS and AUTH together; default 2000 */
    int64_t timeout_ms;         /* how long one request may wait for its answer; default 2000 */
    int64_t linger_ms;          /* how long a freed key keeps its fence; default 5000; -1: none */
    int64_t spin_us;            /* while a server answers faster than this, in MICROseconds, a
                                   blocking call polls actively for its answer before it sleeps;
                                   default 60; at most 1000; -1: never */
    int max_connections;        /* of this client, two of them for what happens in the background;
                                   a blocking call uses two, and one beyond the bound, or whom the
                                   server turns away, shares those of the background: at about
                                   one and a half times the latency, and nobody waits for another.
                                   Default 32; at least 4; no bound for REDLOCK_HOST_MANUAL */
    bool connect_now;           /* redlock_open does, and fails if that fails; default: later. It
                                   warns in the log of rights that the user lacks, and of a server
                                   that may evict locks */
    const char *tls_ca_file;    /* PEM file of trusted authorities; default: the system's */
    const char *tls_ca_directory;
    const char *tls_certificate_file; /* client certificate, PEM, with ... */
    const char *tls_key_file;         /* ... its key */
    const char *tls_server_name;      /* for SNI and verification; default: the URI's host */
    bool tls_skip_verification;       /* accept any certificate: for experiments only */
    redlock_log_fn *log;              /* default: warnings and errors to stderr */
    void *log_arg;
    redlock_level log_level; /* the most detailed one; default REDLOCK_LOG_WARNING */
    redlock_allocator allocator;
    redlock_detail *detail;              /* where redlock_open explains a failure; may be NULL */
    redlock_credentials_fn *credentials; /* asked at each connection; then `password` is not used */
    void *credentials_arg;
} redlock_client_options;

#define REDLOCK_CLIENT_OPTIONS(...)                                                                \
    (&(const redlock_client_options){.struct_size = sizeof(redlock_client_options), __VA_ARGS__})

/* Opens a client for one server, or for a cluster:
 *
 *     redis://[[user]:password@]host[:port][/db]      TCP; the port is 6379 unless given
 *     rediss://...                                    the same over TLS 1.2 or newer
 *     valkey://..., valkeys://...                     other words for redis:// and rediss://
 *     unix://[[user]:password@]/path/to/socket[?db=n]
 *     redis+cluster://[[user]:password@]host[:port],host[:port],...
 *     rediss+cluster://..., valkey+cluster://..., valkeys+cluster://...
 *
 * Of a cluster some nodes are named, 16 at the most, of which one has to answer; user, password and
 * TLS hold for all nodes, tls_server_name is by default the host of each, there is database 0 only,
 * and max_connections bounds those to each node. What it promises is in docs/topologies.md. User
 * and password are percent-decoded; an IPv6 address stands in brackets. Nothing is sent before the
 * first use unless connect_now is set; that greets (AUTH, SELECT) where there is something to greet
 * with, and asks whether a server is there that serves us (PING). `options` may be NULL. On
 * REDLOCK_OK, *client is to be closed with redlock_close; otherwise it is set to NULL.
 *
 * The TLS files are read here, and again for a new connection if one of them, or an entry of the
 * directory, was replaced since; and, once in a second at the most, after a handshake that failed.
 * What cannot be read then, or does not fit together, leaves what was read before in use, and is
 * logged as a warning, once. Connections that are open are not concerned.
 *
 * REDLOCK_ERR_URI, _ERR_ARGUMENT, _ERR_MEMORY, _ERR_SYSTEM, _ERR_TLS, _ERR_TLS_UNAVAILABLE; with
 * connect_now also _ERR_RESOLVE, _ERR_CONNECT, _ERR_TIMEOUT, _ERR_DENIED, _ERR_UNAVAILABLE,
 * _ERR_SERVER, _ERR_PROTOCOL. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_open(const char *uri,
                                                           const redlock_client_options *options,
                                                           redlock_client **client);

/* Ends every wait with REDLOCK_ERR_CLOSED, releases every lock that is still held (in at most
 * timeout_ms; what cannot be released expires), stops the keeper, and gives the memory back. Lock
 * handles that the caller still has stay valid to read and to release, and answer
 * REDLOCK_ERR_CLOSED. No other call of this client may begin after redlock_close did; calls that
 * began before are waited for, except redlock_fd, _timeout_ms, _process and _stats_read, which must
 * be over. Inside a callback it takes effect when the callback returns
 * (REDLOCK_HOST_DELIVER: in the next redlock_process, or the one that is running). NULL is
 * allowed. */
REDLOCK_API redlock_status redlock_close(redlock_client *client);

/* ---- Cancelling a wait ------------------------------------------------------------------------
 *
 * A canceller ends the waits that were started with it, from any thread, as often as wanted:
 * once cancelled it stays so until it is reset, and a wait that starts meanwhile ends at once. */
typedef struct redlock_canceller redlock_canceller;

REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_canceller_open(redlock_canceller **canceller);
/* Async-signal-safe: a signal handler may call it. */
REDLOCK_API void redlock_cancel(redlock_canceller *canceller);
REDLOCK_API void redlock_canceller_reset(redlock_canceller *canceller);
/* No wait may be using it any more. NULL is allowed. */
REDLOCK_API void redlock_canceller_close(redlock_canceller *canceller);

/* ---- Acquire and release ----------------------------------------------------------------------*/

typedef struct redlock_lock redlock_lock;

/* Why a lock is not ours any more. Each line is (name, value, what redlock_loss_text says). */
#define REDLOCK_LOSSES(X)                                                                          \
    X(NONE, 0, "it is not lost, as far as is known")                                               \
    X(NOT_RENEWED, 1, "its lease ended before a renewal was answered")                             \
    X(EXPIRED, 2, "its lease ended, and it was to be renewed no longer")                           \
    X(TAKEN, 3, "the server has it no more: it was forced, deleted, evicted, or had ended there")  \
    X(FORGOTTEN, 4, "the server has lost data, and may have given it to another")

typedef enum redlock_loss {
#define REDLOCK_LOSS_ENUM(name, value, text) REDLOCK_LOSS_##name = (value),
    REDLOCK_LOSSES(REDLOCK_LOSS_ENUM)
#undef REDLOCK_LOSS_ENUM
} redlock_loss;

/* What a loss says, in words: a static string, never NULL, for any value. */
REDLOCK_API const char *redlock_loss_text(redlock_loss why);

/* Told once that a lock is no longer ours, no later than the end of its validity, even when the
 * network is silent. Runs on the keeper's thread (REDLOCK_HOST_MANUAL: inside redlock_process) with
 * no lock of the library held: be brief, do not block. It may read the lock; a blocking call of
 * this client answers REDLOCK_ERR_IN_CALLBACK. redlock_why_lost tells why. It is never called after
 * redlock_release returned (release waits for a call that is running), nor before the completion
 * that hands the lock out has returned. A loss that nobody is told of is logged as a warning, one
 * in a second at the most, with the number of the others. */
typedef void redlock_lost_fn(void *arg, redlock_lock *lock);

/* Told that a lock is at risk: its renewal has been due since two thirds of its lease were left,
 * none has succeeded, and by now about one third is left, left_ms. Then it is lost, unless one
 * succeeds; the keeper goes on trying. So begin nothing new, or come to an end.
 *
 * Told once, before on_lost, and once more only after a renewal or an extension has succeeded,
 * which redlock_remaining_ms shows: it is more than left_ms again. Never told of a lock that is
 * lost or let go of, nor of one that is not to be renewed: without auto_renew only what was handed
 * over is, for its claim_ms. It runs where on_lost does, may do the same, and a release waits for
 * it likewise. */
typedef void redlock_risk_fn(void *arg, redlock_lock *lock, int64_t left_ms);

#define REDLOCK_WAIT_FOREVER ((int64_t)-1)

/* Any number of shared holders may have a lock at once, or one exclusive one. All modes of one name
 * exclude each other as docs/modes.md has it. */
typedef enum redlock_mode { REDLOCK_EXCLUSIVE = 0, REDLOCK_SHARED = 1 } redlock_mode;

/* Who goes first when shared and exclusive waiters meet. All users of one name should say the same.
 *
 * READERS   a shared request joins shared holders even while an exclusive one waits. The fastest
 *           for readers; a steady stream of them starves writers.
 * FAIR      in the order of arrival, but readers that wait enter together; nobody starves: a writer
 *           sits out two batches of readers at the most.
 * WRITERS   no reader enters while a writer waits; a steady stream of writers starves readers. */
typedef enum redlock_policy {
    REDLOCK_PREFER_READERS = 0,
    REDLOCK_FAIR = 1,
    REDLOCK_PREFER_WRITERS = 2
} redlock_policy;

typedef struct redlock_options {
    size_t struct_size;    /* stamped by REDLOCK_OPTIONS */
    redlock_mode mode;     /* default REDLOCK_EXCLUSIVE */
    redlock_policy policy; /* default REDLOCK_PREFER_READERS */
    uint32_t permits;      /* REDLOCK_SHARED: at most so many holders at once (a semaphore);
                              default: any number */
    bool reentrant;        /* the owner may acquire it again while it holds it; each acquire is
                              released by itself */
    const char *owner;     /* with reentrant: who the owner is, in 1 to 64 bytes, also for other
                              processes; default: the calling thread, for this client */
    int64_t ttl_ms;        /* the lease: how long the server keeps the lock for a holder it does not
                              hear of; default 30000; 1 ms to 30 days */
    int64_t wait_ms;       /* 0: try once; > 0: wait at most so long, but the server has
                              timeout_ms for its first answer, as for a try;
                              REDLOCK_WAIT_FOREVER */
    bool auto_renew;       /* the keeper renews every ttl/3 until release */
    int64_t max_hold_ms; /* auto_renew gives up after so long, and the lock is lost; default: never;
                            a longer ttl_ms is cut to it */
    int64_t claim_ms;    /* the short first lease of a lock that is handed over to this waiter: a
                            waiter that froze delays the next by no more than the longer claim
                            of the two; default: the smaller of ttl_ms and 2000; less than some
                            round trips never holds */
    redlock_lost_fn *on_lost; /* may be NULL */
    void *on_lost_arg;
    redlock_risk_fn *on_risk; /* may be NULL */
    void *on_risk_arg;
    redlock_canceller *canceller; /* may be NULL; lives until the call returns */
    redlock_detail *detail;       /* where a failure is explained; may be NULL */
} redlock_options;

#define REDLOCK_OPTIONS(...)                                                                       \
    (&(const redlock_options){.struct_size = sizeof(redlock_options), __VA_ARGS__})

/* Entering a reentrant hold again answers the same handle and sends nothing, provided that it
 * renews itself or its lease lasts for at least two thirds of the ttl_ms that is asked for (it is
 * extended otherwise; a shorter ttl never shortens the lease). A shared acquire inside an exclusive
 * hold is such an entry; an exclusive one inside a shared hold is an upgrade, see redlock_upgrade.
 * An upgrade and an extension share the time of the call; its canceller ends them, as does the end
 * of the lease (REDLOCK_LOST). The other options are those of the first acquire.
 *
 * Acquires the lock that is called `name`. Waiters are served in the order of their arrival: the
 * lock is handed to the next one by the release itself. `options` may be NULL (try once, 30 s).
 *
 * On REDLOCK_OK, *lock is held and is to be given back with redlock_release; otherwise it is NULL
 * and nothing is held: a request whose answer never came is undone in the background.
 *
 * The call is back within wait_ms, or timeout_ms if that is longer: a free lock is got by the
 * shortest wait as surely as by a try, and while the server has not answered at all a short wait
 * goes on as a try does. From its first answer on only wait_ms counts.
 *
 * REDLOCK_BUSY        wait_ms was 0 and somebody holds the lock (this thread, too, unless it enters
 *                     again), or waits whom the policy lets go first
 * REDLOCK_TIMED_OUT   wait_ms passed
 * REDLOCK_CANCELLED   the canceller was used
 * REDLOCK_DEADLOCK    the wait would never end: this thread (or owner) holds the lock itself, in a
 *                     way that excludes what it asks for now; or this thread has as many permits as
 *                     there are
 * REDLOCK_LOST        reentrant: the hold that was to be entered again is lost
 * REDLOCK_ERR_NAME, _ERR_TTL, _ERR_ARGUMENT: nothing was sent REDLOCK_ERR_TIMEOUT, _ERR_CONNECT,
 * _ERR_RESOLVE, _ERR_UNAVAILABLE: the server could not be asked. A wait
 *                     goes on through such failures until it is over, and reports the last one.
 * The other failures cannot be mended by waiting, and end a wait at once. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_acquire(redlock_client *client,
                                                              const char *name,
                                                              const redlock_options *options,
                                                              redlock_lock **lock);

/* The same for a name of any bytes, NUL included. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_acquire_bytes(redlock_client *client,
                                                                    const void *name,
                                                                    size_t name_length,
                                                                    const redlock_options *options,
                                                                    redlock_lock **lock);

/* Gives the lock back, to the next waiter if there is one, and frees the handle, whatever it
 * returns (but for _ERR_FORKED and _ERR_IN_CALLBACK: then nothing was done). NULL is allowed and
 * answers REDLOCK_OK.
 *
 * REDLOCK_LOST        the lease had ended, or the server no longer knew it: the work may have
 *                     overlapped with another holder's
 * REDLOCK_ERR_...     the server could not be told within timeout_ms; the keeper goes on trying
 *                     until the lease ends by itself. Such a release is logged as a warning, one in
 *                     a second at the most, with the number of the others */
REDLOCK_API redlock_status redlock_release(redlock_lock *lock);

/* Why did it fail? The words for the latest failure that this thread was told by a call which takes
 * no redlock_detail: redlock_release and its like (the end of a scope, too), redlock_release_set,
 * redlock_extend, redlock_upgrade, redlock_downgrade; or, inside a completion, by that one. Such as
 * "Connection refused", or what the server said; for REDLOCK_LOST what redlock_loss_text says.
 * Never NULL; "" when there is nothing to add, and before the first failure. A success leaves it as
 * it is, the next failure replaces it. */
REDLOCK_API const char *redlock_why_failed(void);

/* Makes the lease last `ttl_ms` from now, if that is longer than it lasts already.
 * REDLOCK_OK, REDLOCK_LOST, REDLOCK_ERR_TTL, or why the server could not be asked. */
REDLOCK_API redlock_status redlock_extend(redlock_lock *lock, int64_t ttl_ms);

/* Makes an exclusive hold a shared one, without letting go in between; readers that wait enter at
 * once. Read the fence again afterwards: it is a new one. Done already: REDLOCK_OK.
 * REDLOCK_DEADLOCK when its owner has another exclusive hold, REDLOCK_LOST, REDLOCK_ERR_ARGUMENT
 * for a hold with permits, or why the server could not be asked: then the hold counts as shared
 * until an answer tells more, and the call may be repeated, or redlock_upgrade called instead. What
 * was sent before is void as soon as the next one is answered. */
REDLOCK_API redlock_status redlock_downgrade(redlock_lock *lock);

/* Makes a shared hold an exclusive one, with a new fence, if it is the only hold: otherwise
 * REDLOCK_DEADLOCK at once, since two readers that both waited for the other to leave would wait
 * for ever. Release and acquire exclusively instead. The rest is as for redlock_downgrade. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_upgrade(redlock_lock *lock);

/* The calling thread becomes the owner of a hold that another thread acquired: for handing work
 * over. It matters to reentrant holds, and to who is told REDLOCK_DEADLOCK. */
REDLOCK_API void redlock_adopt(redlock_lock *lock);

/* In which mode is it held now, surely? Shared while a conversion is of unknown outcome. */
REDLOCK_API redlock_mode redlock_lock_mode(const redlock_lock *lock);

/* Is the lock surely ours at this moment? One clock read; any thread; no I/O. */
REDLOCK_API bool redlock_is_held(const redlock_lock *lock);

/* Why is it not? REDLOCK_LOSS_NONE while it is held, and after the client was closed. Any thread;
 * no I/O. */
REDLOCK_API redlock_loss redlock_why_lost(const redlock_lock *lock);

/* How long it surely stays ours without another renewal, in ms; 0 when it is not. */
REDLOCK_API int64_t redlock_remaining_ms(const redlock_lock *lock);

/* The fencing token: higher than that of every earlier holder of this name. Pass it to the resource
 * that the lock protects, which refuses a lower one than it has seen (Kleppmann 2016). Who enters
 * beside others, a reader beside readers or an owner beside itself, has the lock's last one:
 * theirs, or a later one that a conversion minted. A conversion gives the hold a new one. */
REDLOCK_API uint64_t redlock_fence(const redlock_lock *lock);

/* The lock's name and, if length is not NULL, its length. Lives as long as the handle. */
REDLOCK_API const char *redlock_name(const redlock_lock *lock, size_t *length);

/* ---- Scoped locks -----------------------------------------------------------------------------
 *
 * A block that runs while a lock is held:
 *
 *     int transfer(redlock_client *client)
 *     {
 *         int err = 0;
 *         redlock_status st;
 *         REDLOCK_WITH (client, "acct:7", &st, &err, .ttl_ms = 5000, .auto_renew = true) {
 *             err = move_money();
 *         }
 *         return err ? err : (int)st;
 *     }
 *
 * The body does not run unless the lock was acquired; then `st` says why. However the body is left
 * (end, break, continue, return, goto; the first three leave the block, not a loop around it), the
 * lock is released, and the results stay apart:
 *
 *     the body's error     `err`, never touched by the library
 *     the release          `st`: REDLOCK_OK, or REDLOCK_LOST, or why the server could not be told
 *     both failed          `err` is what counts, so the failed release is also logged, once, as a
 *                          warning, REDLOCK_LOST too
 *
 * Leaving changes no errno. Inside a callback of the client, where nothing may wait, the lock is
 * given back in the background, and the release counts as REDLOCK_OK; so it is with REDLOCK_AUTO.
 *
 * `err` may be a null pointer (int *): then only the release counts. A `return` inside the body has
 * evaluated its expression before the release: return `st` after the block, not inside it. */
#define REDLOCK_WITH(client, name, status, error, ...)                                             \
    REDLOCK_WITH_SCOPE_(REDLOCK_UNIQUE_(redlock_scope_), client, name, status, error, __VA_ARGS__)

/* Without options, write .ttl_ms = 0: an empty list is not standard C.
 *
 * The same, and `lock` names the handle inside the body (for redlock_fence and its like). */
#define REDLOCK_WITH_LOCK(lock, client, name, status, error, ...)                                  \
    REDLOCK_WITH_LOCK_(lock, REDLOCK_UNIQUE_(redlock_scope_), client, name, status, error,         \
                       __VA_ARGS__)

/* A declaration attribute: the lock is released on every way out of the variable's scope.
 *
 *     REDLOCK_AUTO redlock_lock *lock = NULL;
 *     if (redlock_acquire(client, "r", NULL, &lock) != REDLOCK_OK) return -1;
 *
 * A failed release has no other place to go, so it is logged as a warning. To see the result,
 * release by hand: st = redlock_release_and_clear(&lock). */
#define REDLOCK_AUTO __attribute__((unused, cleanup(redlock_auto_release)))

/* redlock_release(*lock), and *lock becomes NULL; but after _ERR_IN_CALLBACK nothing was done. */
REDLOCK_API redlock_status redlock_release_and_clear(redlock_lock **lock);
REDLOCK_API void redlock_auto_release(redlock_lock **lock);

/* What the macros are made of. */
typedef struct redlock_scope {
    redlock_lock *lock;
    redlock_status *status;
    int *error;
    bool has_run;
} redlock_scope;

REDLOCK_API redlock_scope redlock_scope_begin(redlock_client *client, const char *name,
                                              const redlock_options *options,
                                              redlock_status *status, int *error);
REDLOCK_API void redlock_scope_end(redlock_scope *scope);

/* True once, if the lock is held. */
static inline bool redlock_scope_enter(redlock_scope *scope)
{
    if (scope->has_run || scope->lock == NULL) return false;
    scope->has_run = true;
    return true;
}

#define REDLOCK_PASTE2_(a, b) a##b
#define REDLOCK_PASTE_(a, b) REDLOCK_PASTE2_(a, b)
#define REDLOCK_UNIQUE_(stem) REDLOCK_PASTE_(stem, __LINE__)
#define REDLOCK_WITH_SCOPE_(scope, client, name, status, error, ...)                               \
    for (__attribute__((cleanup(redlock_scope_end))) redlock_scope scope = redlock_scope_begin(    \
             (client), (name), REDLOCK_OPTIONS(__VA_ARGS__), (status), (error));                   \
         redlock_scope_enter(&scope);)
#define REDLOCK_WITH_LOCK_(lock_, scope_, client, name, status, error, ...)                        \
    REDLOCK_WITH_SCOPE_(scope_, client, name, status, error, __VA_ARGS__)                          \
    for (redlock_lock *lock_ = scope_.lock; lock_ != NULL; lock_ = NULL)

/* ---- Asynchronous operations ------------------------------------------------------------------
 *
 * They take what their blocking twins take and return at once. REDLOCK_OK means: the completion
 * runs exactly once, later, never inside the submitting call, with no lock of the library held, on
 * the thread that redlock_host says. Anything else means that it never runs. A completion may call
 * every function here but the blocking ones (they answer REDLOCK_ERR_IN_CALLBACK); redlock_close
 * inside one takes effect when it returns. Operations that redlock_close finds complete with
 * REDLOCK_ERR_CLOSED before it returns. All of a client share one connection for commands and one
 * for messages; what is submitted together leaves together. One thread may hold and wait for the
 * same name: it is not told REDLOCK_DEADLOCK, unless by the server, for an explicit owner. */

/* On REDLOCK_OK, `lock` is held, to be given back with redlock_release or redlock_release_async;
 * otherwise it is NULL. REDLOCK_LOST: it was acquired, and lost before the completion could run.
 * What is lost while the completion runs is told to on_lost when it has returned. */
typedef void redlock_acquired_fn(void *arg, redlock_status status, redlock_lock *lock);
typedef void redlock_done_fn(void *arg, redlock_status status);

/* Names an operation for redlock_cancel_async; never used twice, so that a late cancel does no
 * harm. 0 is none. */
typedef uint64_t redlock_operation;

/* `id` may be NULL; it is 0 where a hold is entered again, which cannot be cancelled.
 * options->canceller and options->detail are not for here: REDLOCK_ERR_ARGUMENT. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_acquire_async(
    redlock_client *client, const void *name, size_t name_length, const redlock_options *options,
    redlock_acquired_fn *acquired, void *arg, redlock_operation *id);

/* The handle is gone when this returned REDLOCK_OK; or REDLOCK_ERR_CLOSED or _ERR_SYSTEM, and then
 * the lock is released in the background if that is still possible. `done` may be NULL. */
REDLOCK_API redlock_status redlock_release_async(redlock_lock *lock, redlock_done_fn *done,
                                                 void *arg);
REDLOCK_API redlock_status redlock_extend_async(redlock_lock *lock, int64_t ttl_ms,
                                                redlock_done_fn *done, void *arg);
REDLOCK_API redlock_status redlock_upgrade_async(redlock_lock *lock, redlock_done_fn *done,
                                                 void *arg);
REDLOCK_API redlock_status redlock_downgrade_async(redlock_lock *lock, redlock_done_fn *done,
                                                   void *arg);

/* An acquisition that is not complete yet completes with REDLOCK_CANCELLED, unless it is being
 * granted just now. */
REDLOCK_API void redlock_cancel_async(redlock_client *client, redlock_operation id);

/* For an event loop (DELIVER and MANUAL): one descriptor, to be watched for reading; it covers
 * sockets, timers and wake-ups, and lives as long as the client. -1 where there is none. */
REDLOCK_API int redlock_fd(const redlock_client *client);

/* For loops that would rather have a timeout (MANUAL): how long until redlock_process has something
 * to do by the clock, in ms, rounded up; 0: now; -1: nothing is scheduled. */
REDLOCK_API int64_t redlock_timeout_ms(const redlock_client *client);

/* Does what can be done without waiting, and runs completions. One thread at a time; not inside a
 * completion. REDLOCK_ERR_CLOSED when a completion closed the client: it is gone. */
REDLOCK_API redlock_status redlock_process(redlock_client *client);

/* ---- Many at once ----------------------------------------------------------------------------*/

typedef struct redlock_name_bytes {
    const void *bytes;
    size_t length;
} redlock_name_bytes;

typedef struct redlock_set redlock_set;

/* Acquires all of the names or none, within one wait_ms (of one timeout_ms are the first answers of
 * all). They are taken in an order of their own (by their bytes), the same everywhere, so that two
 * sets never wait for each other. While some wait, those that are held already are renewed.
 * `options` are those of each lock; max_hold_ms counts from when all are held. The call is back
 * within the longer of wait_ms and timeout_ms, however many there are. On REDLOCK_OK, *set is to be
 * given back with redlock_release_set; otherwise it is NULL and nothing is held: what was taken is
 * being given back in the background (REDLOCK_HOST_MANUAL: before the call returns, in what is left
 * of its time, and in redlock_process what that did not suffice for). The same name twice, and the
 * option reentrant, are REDLOCK_ERR_ARGUMENT. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_acquire_set(redlock_client *client,
                                                                  const redlock_name_bytes *names,
                                                                  size_t count,
                                                                  const redlock_options *options,
                                                                  redlock_set **set);

/* The handle of names[index], for looking only: the set releases it. NULL when there is none. */
REDLOCK_API redlock_lock *redlock_set_lock(const redlock_set *set, size_t index);

/* Releases all at once, in one timeout_ms, and frees the set. REDLOCK_OK, or the first other answer
 * of redlock_release; after _ERR_FORKED and _ERR_IN_CALLBACK nothing was done. NULL is allowed. */
REDLOCK_API redlock_status redlock_release_set(redlock_set *set);

/* The asynchronous twins. On REDLOCK_OK, `set` is to be given back with either release; otherwise
 * it is NULL, and what was taken is being given back. The names need to live no longer than the
 * call; `id` (may be NULL) is for redlock_cancel_async. redlock_release_set_async takes the set and
 * asks about all of its locks at once; after _ERR_FORKED and _ERR_MEMORY nothing was done. */
typedef void redlock_set_acquired_fn(void *arg, redlock_status status, redlock_set *set);
REDLOCK_API REDLOCK_MUST_CHECK redlock_status
redlock_acquire_set_async(redlock_client *client, const redlock_name_bytes *names, size_t count,
                          const redlock_options *options, redlock_set_acquired_fn *acquired,
                          void *arg, redlock_operation *id);
REDLOCK_API redlock_status redlock_release_set_async(redlock_set *set, redlock_done_fn *done,
                                                     void *arg);

/* ---- Looking ----------------------------------------------------------------------------------*/

/* A holder or a waiter, as the server has it now. */
typedef struct redlock_party {
    redlock_mode mode;
    uint32_t permits;    /* waiters: their limit; 0: none, and always for holders */
    const char *owner;   /* an explicit owner, percent-encoded; "" for none */
    bool is_holder;      /* else it waits; shared waiters come first, each kind in its order */
    int64_t lease_ms;    /* holders: how long the server keeps it, unless renewed */
    int64_t waited_ms;   /* waiters: since when */
    const char *who;     /* "host:pid:name", printable */
    const char *hold_id; /* unique to this one acquisition, printable */
} redlock_party;

typedef struct redlock_inspection {
    uint64_t fence; /* the last fence that was given out; 0: none is remembered */
    size_t holders;
    size_t waiters; /* all of them, though at most 1000 parties are listed */
    size_t party_count;
    const redlock_party *parties;
} redlock_inspection;

/* Who holds the lock `name`, and who waits? On REDLOCK_OK, *inspection is to be given back with
 * redlock_inspection_free. `detail` may be NULL. */
REDLOCK_API REDLOCK_MUST_CHECK redlock_status redlock_inspect(redlock_client *client,
                                                              const void *name, size_t name_length,
                                                              redlock_inspection **inspection,
                                                              redlock_detail *detail);
REDLOCK_API void redlock_inspection_free(redlock_inspection *inspection);

/* The asynchronous twin. On REDLOCK_OK, `inspection` is to be given back with
 * redlock_inspection_free; otherwise it is NULL. */
typedef void redlock_inspected_fn(void *arg, redlock_status status, redlock_inspection *inspection);
REDLOCK_API redlock_status redlock_inspect_async(redlock_client *client, const void *name,
                                                 size_t name_length,
                                                 redlock_inspected_fn *inspected, void *arg);

/* Takes the lock from everyone who holds it, and gives it to the next waiter. For operators: those
 * who held it learn of it from their next renewal or release, and only fences keep them from the
 * resource until then. It is made for those that it found, and takes nothing from who comes later,
 * also when it is repeated because an answer was lost. *removed (may be NULL) is how many held it;
 * 0 also where the answer that told it was lost. REDLOCK_OK if nobody did. REDLOCK_ERR_TIMEOUT also
 * when the lock changed hands between each look at it and its taking, for timeout_ms. */
REDLOCK_API redlock_status redlock_force_release(redlock_client *client, const void *name,
                                                 size_t name_length, size_t *removed,
                                                 redlock_detail *detail);

/* The asynchronous twin. */
typedef void redlock_forced_fn(void *arg, redlock_status status, size_t removed);
REDLOCK_API redlock_status redlock_force_release_async(redlock_client *client, const void *name,
                                                       size_t name_length,
                                                       redlock_forced_fn *forced, void *arg);

/* ---- Statistics -------------------------------------------------------------------------------*/

/* bucket[i] counts durations of 2^i to 2^(i+1) microseconds (bucket[0] also what is shorter, the
 * last also what is longer). */
#define REDLOCK_HISTOGRAM_BUCKETS 32
typedef struct redlock_histogram {
    uint64_t count;
    uint64_t sum_us;
    uint64_t bucket[REDLOCK_HISTOGRAM_BUCKETS];
} redlock_histogram;

/* Counters since redlock_open. They only rise. */
typedef struct redlock_stats {
    uint64_t acquired;    /* locks that were obtained ... */
    uint64_t handed_over; /* ... of which by a handover, after a wait */
    uint64_t busy;
    uint64_t timed_out;
    uint64_t cancelled;
    uint64_t failed; /* acquisitions that ended in a negative status */
    uint64_t released;
    uint64_t release_failed;
    uint64_t lost;
    uint64_t renewed;
    uint64_t renewal_retried; /* renewals that got no good answer and were tried again */
    uint64_t undone;          /* requests whose answer never came, and which were undone */
    uint64_t commands;        /* commands sent, connection set-up included */
    uint64_t writes;          /* system calls that sent them */
    uint64_t rechecks;        /* commands of waiters while they waited */
    uint64_t connections;     /* connections made, the first ones included */
    uint64_t connections_lost;
    redlock_histogram wait;       /* from the call of acquire to its success */
    redlock_histogram hold;       /* from success to release */
    redlock_histogram round_trip; /* of single requests */
} redlock_stats;

/* Copies the counters, each read atomically, into *stats; `struct_size` is sizeof *stats. */
REDLOCK_API void redlock_stats_read(const redlock_client *client, redlock_stats *stats,
                                    size_t struct_size);

/* The version of the library that runs, such as "0.1.0". */
REDLOCK_API const char *redlock_version(void);

#ifdef __cplusplus
}
#endif

#endif
