/* SPDX-License-Identifier: MIT
 * The whole library against a server that answers anything: the input says which calls are made,
 * and what comes back. Whatever is called ends with a status, completes once, believes no lease
 * beyond 30 days, and gives back its memory. */

/* Parses: api/inspect.c api/convert.c api/release.c keeper/errand.c lane/exchange.c lane/lane.c */
#include <fcntl.h>

#include "liar.h"

#include <redlock/redlock.h>

enum { SLOTS = 4, STEPS_MOST = 64 };
#define LEASE_MOST_MS (INT64_C(30) * 24 * 3600 * 1000)

/* One lock, or an operation that may become one. */
typedef struct slot {
    redlock_lock *lock;
    bool is_busy; /* an asynchronous operation is under way */
    redlock_operation id;
} slot;

static redlock_client *client;
static slot slots[SLOTS];
static long blocks;

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    blocks++;
    return malloc(size);
}

static void give_back(void *arg, void *block)
{
    (void)arg;
    blocks--;
    free(block);
}

static void check_status(redlock_status status)
{
    must(strncmp(redlock_status_name(status), "REDLOCK_", 8) == 0);
}

static void check_lock(redlock_status status, const redlock_lock *lock)
{
    check_status(status);
    must((status == REDLOCK_OK) == (lock != NULL));
    must(lock == NULL || redlock_remaining_ms(lock) <= LEASE_MOST_MS);
}

static void lost(void *arg, redlock_lock *lock)
{
    (void)arg;
    must(!redlock_is_held(lock));
}

static const char *take_name(void) { return take_byte(&liar.from) & 1 ? "a" : "b{t}"; }

static redlock_options take_options(void)
{
    static const int64_t ttls_ms[] = {0, 5, 300, 30000, LEASE_MOST_MS};
    uint8_t choice = take_byte(&liar.from), more = take_byte(&liar.from);
    redlock_options made = {
        .struct_size = sizeof made, .ttl_ms = ttls_ms[choice % 5], .on_lost = lost};

    made.mode = choice & 16 ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE;
    made.policy = (redlock_policy)(more % 3);
    made.permits = (choice & 48) == 48 ? 2 : 0;
    made.reentrant = (choice & 64) != 0;
    made.owner = made.reentrant && (choice & 128) != 0 ? "txn" : NULL;
    made.wait_ms = more & 64 ? take_byte(&liar.from) : 0;
    made.auto_renew = (more & 128) != 0;
    return made;
}

/* ---- Blocking calls ---- */

static void acquire_one(slot *at)
{
    redlock_options options = take_options();
    const char *name = take_name();

    if (at->lock != NULL || at->is_busy) return;
    redlock_status status = redlock_acquire(client, name, &options, &at->lock);
    check_lock(status, at->lock);
}

static void release_one(slot *at)
{
    if (!at->is_busy) check_status(redlock_release_and_clear(&at->lock));
}

static void change_one(slot *at)
{
    if (at->lock == NULL || at->is_busy) return;
    switch (take_byte(&liar.from) % 3) {
    case 0: check_status(redlock_extend(at->lock, 1 + take_byte(&liar.from) * 1000)); break;
    case 1: check_status(redlock_upgrade(at->lock)); break;
    default: check_status(redlock_downgrade(at->lock));
    }
    must(redlock_remaining_ms(at->lock) <= LEASE_MOST_MS);
}

/* Fit to print; its length. */
static size_t check_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
    return strlen(text);
}

static void check_parties(const redlock_inspection *seen)
{
    size_t bytes = 0;

    must(seen->party_count <= 16);
    for (size_t i = 0; i < seen->party_count; i++) {
        const redlock_party *party = &seen->parties[i];
        bytes += check_text(party->owner) + check_text(party->who) + check_text(party->hold_id);
        must(party->lease_ms >= 0 && party->waited_ms >= 0 &&
             (!party->is_holder || party->waited_ms == 0));
    }
    must(bytes <= 16 * 3 * 256);
}

static void look(void)
{
    const char *name = take_name();
    redlock_inspection *seen = NULL;
    redlock_detail detail;
    redlock_status status = redlock_inspect(client, name, strlen(name), &seen, &detail);

    check_status(status);
    must((status == REDLOCK_OK) == (seen != NULL));
    if (seen != NULL) check_parties(seen);
    redlock_inspection_free(seen);
}

static void force(void)
{
    const char *name = take_name();
    size_t removed;

    check_status(redlock_force_release(client, name, strlen(name), &removed, NULL));
}

static void acquire_both(void)
{
    static const redlock_name_bytes names[] = {{"c", 1}, {"d", 1}};
    redlock_options options = take_options();
    redlock_set *set;
    redlock_status status = redlock_acquire_set(client, names, 2, &options, &set);

    check_status(status);
    must((status == REDLOCK_OK) == (set != NULL));
    check_status(redlock_release_set(set));
}

/* ---- Asynchronous calls ---- */

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    slot *at = arg;

    must(at->is_busy && at->lock == NULL);
    check_lock(status, lock);
    at->is_busy = false;
    at->lock = lock;
}

static void done(void *arg, redlock_status status)
{
    slot *at = arg;

    must(at->is_busy);
    check_status(status);
    at->is_busy = false;
}

static void acquire_later(slot *at)
{
    redlock_options options = take_options();
    const char *name = take_name();

    if (at->lock != NULL || at->is_busy) return;
    at->is_busy = true;
    redlock_status status =
        redlock_acquire_async(client, name, strlen(name), &options, acquired, at, &at->id);
    if (status != REDLOCK_OK) acquired(at, status, NULL);
}

static void release_later(slot *at)
{
    redlock_lock *held = at->lock;

    if (held == NULL || at->is_busy) return;
    at->lock = NULL;
    at->is_busy = true;
    must(redlock_release_async(held, done, at) == REDLOCK_OK);
}

static void extend_later(slot *at)
{
    if (at->lock == NULL || at->is_busy) return;
    at->is_busy = true;
    must(redlock_extend_async(at->lock, 1 + take_byte(&liar.from) * 1000, done, at) == REDLOCK_OK);
}

static void process(void)
{
    liar.now_us += take_byte(&liar.from) * INT64_C(1000);
    must(redlock_process(client) == REDLOCK_OK);
    must(redlock_timeout_ms(client) >= -1);
}

/* ---- A life of a client ---- */

static void step(void)
{
    uint8_t choice = take_byte(&liar.from);
    slot *at = &slots[choice / 16 % SLOTS];

    switch (choice % 11) {
    case 0: acquire_one(at); break;
    case 1: release_one(at); break;
    case 2: change_one(at); break;
    case 3: look(); break;
    case 4: force(); break;
    case 5: acquire_both(); break;
    case 6: acquire_later(at); break;
    case 7: release_later(at); break;
    case 8: extend_later(at); break;
    case 9: redlock_cancel_async(client, at->id); break;
    case 10: process();
    }
}

static void release_all(void)
{
    for (int i = 0; i < SLOTS; i++) release_one(&slots[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liar_begin((source){data, size});
    memset(slots, 0, sizeof slots);
    blocks = 0;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL, .timeout_ms = 100, .spin_us = -1,
                               .name = "n", .log_level = REDLOCK_LOG_SILENT,
                               .allocator = {allocate, give_back, NULL});
    must(redlock_open("unix:///liar", options, &client) == REDLOCK_OK);
    for (int i = 0; i < STEPS_MOST && liar.from.left > 0; i++) step();
    if (take_byte(&liar.from) & 1) release_all();
    must(redlock_close(client) == REDLOCK_OK);
    release_all();
    must(blocks == 0);
    return 0;
}

static const char *const parts[] = {"\x10\x03\x02\x01\xff\xff\xff\xff\x82\xff",
                                    "\xff\xff\x00\x03\x01\x88",
                                    "\xff\xff\x00\x03\x01\x8d",
                                    "\xff\xff\x00\x03\x01\x89",
                                    "\xff\xff\x00\x0a\x01\x8a",
                                    "\xff\xff\x00\x06\x01\x8e",
                                    "\xff\xff\x01\x04\x01\x40\x64\x01\x64\x01",
                                    "\xff\xff\x00\x02\x01\x00\x64\x01\x01",
                                    "\xff\xff\x00\x07\x01\x00\x64\x01\x01",
                                    "\xff\xff\x00\x09\x01\x00",
                                    "\xff\x40\x05\x01\x90\x87\x01\x01",
                                    "\xff\x10",
                                    "\xff\x10\x04",
                                    "\x06\x13\x40\x64\x01\xff\xff\xff",
                                    "\x06\x03\x80\x01",
                                    "\x0a\x01",
                                    "\x0a\xff",
                                    "\x03\x01\xff\xff",
                                    "\x02\x01",
                                    "\x02\x02\xff",
                                    "\x01\xff",
                                    "\x07\xff",
                                    "\x08\x05\xff",
                                    "\x05\x03\x01\xff\xff",
                                    "\xff\xff\xff\xff"};
#define SLOWNESS 8
#include "driver.h"
