/* SPDX-License-Identifier: MIT
 * A storm: threads make every call of the header, on every host at once, while the server is
 * killed, frozen and restarted, connections are cut, scripts flushed and requests late. Afterwards
 * every operation has completed exactly once, and nothing is left: no memory, no descriptor, no
 * thread. In a wide storm clients are closed and opened again; a narrow one is about two names and
 * one owner, with leases that outlast it, and leaves nothing on the server.
 *
 *     REDLOCK_STORM_SECONDS   how long each; default 4
 *     REDLOCK_STORM_SEED      of the dice; default: of the clock, and printed
 *
 * Rule: only the test's own thread makes weather and asserts; the others leave here what they saw.
 * A client is closed while nobody else is in a call of it (the place's lock is taken for writing);
 * its handles may be released meanwhile. */
#include "live/async_stage.h"

enum { PLACES = 6, SAILORS = 4, NAMES = 12, HELD_MOST = 200, DEFAULT_SECONDS = 4 };

/* ---- Dice -------------------------------------------------------------------------------------*/

typedef struct dice {
    uint64_t state;
} dice;

static uint32_t throw(dice * self, uint32_t sides)
{
    self->state ^= self->state << 13;
    self->state ^= self->state >> 7;
    self->state ^= self->state << 17;
    return (uint32_t)(self->state >> 33) % sides;
}

/* ---- Deeds that are never forgotten -----------------------------------------------------------*/

typedef struct place place;

typedef struct act {
    struct act *next; /* of those of its sailor */
    place *at;
    redlock_client *client;
    redlock_lock *lock;
    uint32_t luck; /* decides what its completion does */
    bool was_accepted;
    _Atomic int completions, losses;
} act;

/* A client's place, which others take when it is closed. */
struct place {
    pthread_rwlock_t lock;
    redlock_client *client;
    redlock_host host;
    bool is_behind_proxy;
    pthread_t pump;
};

typedef struct storm {
    async_stage *stage;
    uint32_t names;
    bool is_narrow;
    place places[PLACES];
    pthread_mutex_t mutex; /* guards ... */
    act *held[HELD_MOST];  /* ... whose locks are to be released, and ... */
    size_t held_count;
    act *strays; /* ... the acts of completions */
    _Atomic bool is_over, are_pumps_over, may_close;
    _Atomic uint64_t acts, closings;
} storm;

static storm the_storm;

static act *act_new(place *at, redlock_client *client, act **list, uint32_t luck)
{
    act *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    *made = (act){.next = *list, .at = at, .client = client, .luck = luck};
    *list = made;
    atomic_fetch_add(&the_storm.acts, 1);
    return made;
}

static act *stray_new(const act *from)
{
    pthread_mutex_lock(&the_storm.mutex);
    act *made = act_new(from->at, from->client, &the_storm.strays, from->luck / 16);
    pthread_mutex_unlock(&the_storm.mutex);
    return made;
}

static void act_done(void *arg, redlock_status status)
{
    (void)status;
    atomic_fetch_add(&((act *)arg)->completions, 1);
}

static void act_lost(void *arg, redlock_lock *lock)
{
    (void)redlock_is_held(lock);
    atomic_fetch_add(&((act *)arg)->losses, 1);
}

/* ---- Completions: some go on ------------------------------------------------------------------*/

static void release_later(act *what)
{
    pthread_mutex_lock(&the_storm.mutex);
    bool has_room = the_storm.held_count < HELD_MOST;
    if (has_room) the_storm.held[the_storm.held_count++] = what;
    pthread_mutex_unlock(&the_storm.mutex);
    if (!has_room) (void)redlock_release_async(what->lock, NULL, NULL);
}

/* In a completion on the client's own thread, if nobody else is in a call of it. */
static void close_from_inside(act *self)
{
    place *at = self->at;
    if (!atomic_load(&the_storm.may_close) || at->host != REDLOCK_HOST_KEEPER) return;
    if (pthread_rwlock_trywrlock(&at->lock) != 0) return;
    if (at->client == self->client) {
        at->client = NULL;
        (void)redlock_close(self->client);
        atomic_fetch_add(&the_storm.closings, 1);
    }
    pthread_rwlock_unlock(&at->lock);
}

static void act_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    act *self = arg;
    self->lock = lock;
    if (lock != NULL && (status != REDLOCK_OK || redlock_name(lock, NULL) == NULL))
        atomic_fetch_add(&self->completions, 100);
    if (lock != NULL && self->luck % 4 == 0) {
        act *longer = stray_new(self);
        longer->was_accepted = redlock_extend_async(lock, 3000, act_done, longer) == REDLOCK_OK;
    }
    if (lock != NULL && self->luck % 8 == 3) {
        act *other = stray_new(self);
        bool goes_up = redlock_lock_mode(lock) == REDLOCK_SHARED;
        other->was_accepted = (goes_up
                                   ? redlock_upgrade_async(lock, act_done, other)
                                   : redlock_downgrade_async(lock, act_done, other)) == REDLOCK_OK;
    }
    if (lock != NULL && self->luck % 8 < 5) {
        act *given = stray_new(self);
        given->was_accepted = redlock_release_async(lock, act_done, given) == REDLOCK_OK;
    } else if (lock != NULL) {
        release_later(self);
    }
    if (self->luck % 2000 == 7) close_from_inside(self);
    atomic_fetch_add(&self->completions, 1);
}

/* ---- Sailors ----------------------------------------------------------------------------------*/

typedef struct sailor {
    pthread_t thread;
    dice dice;
    act *acts;
    redlock_operation recent[16];
} sailor;

static redlock_options any_options(sailor *self, act *what)
{
    static const int64_t waits[] = {0, 0, 20, 100, 500, REDLOCK_WAIT_FOREVER};
    redlock_options o = {
        .struct_size = sizeof o, .ttl_ms = 200 + throw(&self->dice, 2000), .claim_ms = 200};
    o.wait_ms = waits[throw(&self->dice, 6)];
    o.auto_renew = throw(&self->dice, 2);
    if (throw(&self->dice, 2) == 0) o.on_lost = act_lost;
    o.on_lost_arg = what;
    if (throw(&self->dice, 3) == 0) o.mode = REDLOCK_SHARED;
    o.policy = (redlock_policy) throw(&self->dice, 3);
    o.reentrant = (throw(&self->dice, 5) == 0) != the_storm.is_narrow;
    if (o.reentrant) o.owner = "sailor";
    if (the_storm.is_narrow) o.ttl_ms = LONG_MS;
    return o;
}

/* A name of the storm, its length in *length. */
static const char *any_name(sailor *self, size_t *length)
{
    static const char *const names[NAMES] = {"storm:0", "storm:1", "storm:2",  "storm:3",
                                             "storm:4", "storm:5", "storm:6",  "storm:7",
                                             "storm:8", "storm:9", "storm:10", "storm:11"};
    const char *name = names[throw(&self->dice, the_storm.names)];
    *length = strlen(name);
    return name;
}

static void submit_one(sailor *self, place *at)
{
    size_t length;
    act *what = act_new(at, at->client, &self->acts, throw(&self->dice, 1u << 30));
    redlock_options o = any_options(self, what);
    const char *name = any_name(self, &length);
    redlock_operation id;
    what->was_accepted =
        redlock_acquire_async(at->client, name, length, &o, act_acquired, what, &id) == REDLOCK_OK;
    self->recent[throw(&self->dice, 16)] = id;
}

static void submit_some(sailor *self, place *at)
{
    for (uint32_t n = throw(&self->dice, 8); n > 0; n--) submit_one(self, at);
}

static void cancel_some(sailor *self, place *at)
{
    for (int i = 0; i < 4; i++)
        redlock_cancel_async(at->client, self->recent[throw(&self->dice, 16)]);
}

/* ---- Sets, and what is asked about names ----*/

static void act_gathered(void *arg, redlock_status status, redlock_set *set)
{
    act *self = arg;
    if ((status == REDLOCK_OK) != (set != NULL)) atomic_fetch_add(&self->completions, 100);
    if (set != NULL) {
        act *given = stray_new(self);
        given->was_accepted = redlock_release_set_async(set, act_done, given) == REDLOCK_OK;
    }
    atomic_fetch_add(&self->completions, 1);
}

static const redlock_name_bytes together[] = {{"storm:1", 7}, {"storm:0", 7}, {"storm:2", 7}};
static size_t so_many_together(void) { return the_storm.is_narrow ? 2 : 3; }

static void gather_some(sailor *self, place *at)
{
    act *what = act_new(at, at->client, &self->acts, throw(&self->dice, 1u << 30));
    redlock_options o = any_options(self, what);
    o.reentrant = false;
    o.owner = NULL;
    redlock_operation id;
    what->was_accepted = redlock_acquire_set_async(at->client, together, so_many_together(), &o,
                                                   act_gathered, what, &id) == REDLOCK_OK;
    self->recent[throw(&self->dice, 16)] = id;
}

static void act_inspected(void *arg, redlock_status status, redlock_inspection *seen)
{
    redlock_inspection_free(seen);
    act_done(arg, status);
}

static void act_forced(void *arg, redlock_status status, size_t removed)
{
    (void)removed;
    act_done(arg, status);
}

static void ask_about_a_name(sailor *self, place *at)
{
    size_t length;
    const char *name = any_name(self, &length);
    act *looked = act_new(at, at->client, &self->acts, 0),
        *raided = act_new(at, at->client, &self->acts, 0);
    looked->was_accepted = redlock_inspect_async(at->client, name, length, act_inspected, looked) ==
                           REDLOCK_OK;
    if (throw(&self->dice, 8) != 0) return;
    raided->was_accepted =
        redlock_force_release_async(at->client, name, length, act_forced, raided) == REDLOCK_OK;
}

/* ---- Calls that wait ----*/

/* Whatever the call answers is right in a storm. */
static void survive(redlock_status status) { (void)status; }

/* What is done with a hold; and whatever comes of it, each entry is released. */
static void use(sailor *self, place *at, redlock_lock *lock, const char *name,
                const redlock_options *o)
{
    redlock_lock *again = NULL;
    switch (throw(&self->dice, 6)) {
    case 0: survive(redlock_extend(lock, LONG_MS)); break;
    case 1: survive(redlock_upgrade(lock)); break;
    case 2: survive(redlock_downgrade(lock)); break;
    case 3:
        if (!o->reentrant) break;
        if (redlock_acquire(at->client, name, o, &again) == REDLOCK_OK)
            (void)redlock_release(again);
        break;
    default: break;
    }
    (void)redlock_release(lock);
}

static void hold_once(sailor *self, place *at)
{
    size_t length;
    redlock_lock *lock = NULL;
    const char *name = any_name(self, &length);
    redlock_options o = any_options(self, act_new(at, at->client, &self->acts, 0));
    o.wait_ms = throw(&self->dice, 60);
    if (redlock_acquire(at->client, name, &o, &lock) == REDLOCK_OK) use(self, at, lock, name, &o);
}

static void hold_together_once(sailor *self, place *at)
{
    redlock_set *set = NULL;
    redlock_options o = any_options(self, act_new(at, at->client, &self->acts, 0));
    o.wait_ms = throw(&self->dice, 60);
    o.reentrant = false;
    o.owner = NULL;
    if (redlock_acquire_set(at->client, together, so_many_together(), &o, &set) == REDLOCK_OK)
        (void)redlock_release_set(set);
}

static void block_once(sailor *self, place *at)
{
    size_t length;
    redlock_inspection *seen = NULL;
    const char *name = any_name(self, &length);
    switch (throw(&self->dice, 8)) {
    case 0: hold_together_once(self, at); break;
    case 1:
        survive(redlock_inspect(at->client, name, length, &seen, NULL));
        redlock_inspection_free(seen);
        break;
    case 2:
        if (throw(&self->dice, 4) == 0)
            survive(redlock_force_release(at->client, name, length, NULL, NULL));
        break;
    default: hold_once(self, at);
    }
}

static void release_one(sailor *self)
{
    pthread_mutex_lock(&the_storm.mutex);
    act *what = NULL;
    if (the_storm.held_count > 0) {
        size_t index = throw(&self->dice, (uint32_t)the_storm.held_count);
        what = the_storm.held[index];
        the_storm.held[index] = the_storm.held[--the_storm.held_count];
    }
    pthread_mutex_unlock(&the_storm.mutex);
    if (what == NULL) return;
    if (throw(&self->dice, 2) == 0) {
        (void)redlock_release(what->lock);
        return;
    }
    act *given = act_new(what->at, what->client, &self->acts, 0);
    given->was_accepted = redlock_release_async(what->lock, act_done, given) == REDLOCK_OK;
}

static redlock_client *open_one(place *at)
{
    redlock_client *opened = NULL;
    stage *the = the_storm.stage->stage;
    redlock_client_options o = {.struct_size = sizeof o, .host = at->host, .timeout_ms = 300};
    o.log = journal_note;
    o.log_arg = &the->journal;
    o.allocator = (redlock_allocator){account_take, account_give, &the_storm.stage->account};
    const char *uri = at->is_behind_proxy ? proxy_uri(the->proxy) : server_uri(the->server);
    return redlock_open(uri, &o, &opened) == REDLOCK_OK ? opened : NULL;
}

static void reopen(place *at)
{
    if (!atomic_load(&the_storm.may_close)) return;
    pthread_rwlock_wrlock(&at->lock);
    if (at->client != NULL) {
        (void)redlock_close(at->client);
        atomic_fetch_add(&the_storm.closings, 1);
    }
    at->client = open_one(at);
    pthread_rwlock_unlock(&at->lock);
}

static void act_at(sailor *self, place *at)
{
    pthread_rwlock_rdlock(&at->lock);
    bool is_open = at->client != NULL;
    uint32_t choice = throw(&self->dice, 16);
    if (!is_open) (void)choice;
    else if (choice < 7) submit_some(self, at);
    else if (choice == 7) gather_some(self, at);
    else if (choice == 8) ask_about_a_name(self, at);
    else if (choice < 12) cancel_some(self, at);
    else if (choice == 12) block_once(self, at);
    pthread_rwlock_unlock(&at->lock);
    if (choice > 12) release_one(self);
    if (!is_open || throw(&self->dice, 400) == 0) reopen(at);
}

static void *sail(void *arg)
{
    sailor *self = arg;
    while (!atomic_load(&the_storm.is_over)) {
        act_at(self, &the_storm.places[throw(&self->dice, PLACES)]);
        nanosleep(&(struct timespec){.tv_nsec = throw(&self->dice, 4000000)}, NULL);
    }
    return NULL;
}

/* The event loop of a place that has one. */
static void *pump(void *arg)
{
    place *at = arg;
    while (!atomic_load(&the_storm.are_pumps_over)) {
        pthread_rwlock_rdlock(&at->lock);
        struct pollfd look = {.fd = at->client != NULL ? redlock_fd(at->client) : -1,
                              .events = POLLIN};
        if (poll(&look, 1, 2) > 0) (void)redlock_process(at->client);
        pthread_rwlock_unlock(&at->lock);
    }
    return NULL;
}

/* ---- Weather ----------------------------------------------------------------------------------*/

static void weather(storm *self, dice *luck)
{
    server *under = self->stage->stage->server;
    proxy *network = self->stage->stage->proxy;
    switch (throw(luck, 9)) {
    case 0:
        server_kill(under);
        patience_pause();
        server_restart(under);
        break;
    case 1:
        server_freeze(under);
        patience_pause();
        server_thaw(under);
        break;
    case 2:
        proxy_hold(network, true);
        patience_pause();
        proxy_hold(network, false);
        break;
    case 3: proxy_drop_replies_once(network); break;
    case 4: server_number(under, "CLIENT KILL TYPE pubsub"); break;
    case 5: server_number(under, "CLIENT KILL TYPE normal SKIPME yes"); break;
    case 6: server_number(under, "SCRIPT FLUSH"); break;
    case 7: /* late: some of what was sent is delivered after it was given up */
        (void)proxy_keep_requests(network, throw(luck, 2) == 0);
        for (uint32_t pauses = throw(luck, 40); pauses > 0; pauses--) patience_pause();
        proxy_deliver_requests(network, PROXY_OLDEST_FIRST);
        break;
    default: proxy_cut(network);
    }
}

/* ---- The account afterwards -------------------------------------------------------------------*/

typedef struct census {
    uint64_t acts, never, twice, uninvited, lost_twice;
} census;

static void count(census *self, const act *first)
{
    for (const act *at = first; at != NULL; at = at->next) {
        int completions = atomic_load(&at->completions);
        self->acts++;
        self->never += at->was_accepted && completions == 0;
        self->twice += completions > 1;
        self->uninvited += !at->was_accepted && completions > 0;
        self->lost_twice += at->losses > 1;
    }
}

static void forget(act *first)
{
    for (act *next; first != NULL; first = next) {
        next = first->next;
        free(first);
    }
}

static void set_sail(storm *self, sailor *crew, uint64_t seed)
{
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (int i = 0; i < PLACES; i++) {
        place *at = &self->places[i];
        *at = (place){.host = (redlock_host)(i % 3), .is_behind_proxy = i >= 3};
        pthread_rwlock_init(&at->lock, &writers_first);
        at->client = open_one(at);
        assert_non_null(at->client);
        if (at->host != REDLOCK_HOST_KEEPER)
            assert_int_equal(pthread_create(&at->pump, NULL, pump, at), 0);
    }
    for (int i = 0; i < SAILORS; i++) {
        crew[i] = (sailor){.dice = {seed * 2654435761u + (uint64_t)i + 1}};
        assert_int_equal(pthread_create(&crew[i].thread, NULL, sail, &crew[i]), 0);
    }
}

static act *next_held(storm *self)
{
    pthread_mutex_lock(&self->mutex);
    act *next = self->held_count > 0 ? self->held[--self->held_count] : NULL;
    pthread_mutex_unlock(&self->mutex);
    return next;
}

static long long waiters_and_valid_holders(stage *on, const char *name)
{
    long long now_ms = (long long)time(NULL) * 1000;
    return stage_waiters(on, name) +
           server_number(on->server, "ZCOUNT redlock:{%s} %lld 99999999999999", name, now_ms);
}

/* What is granted meanwhile is released, too. */
static bool has_nothing_on_the_server(void *arg)
{
    storm *self = arg;
    stage *on = self->stage->stage;
    for (act *held; (held = next_held(self)) != NULL;) (void)redlock_release(held->lock);
    return waiters_and_valid_holders(on, "storm:0") + waiters_and_valid_holders(on, "storm:1") == 0;
}

static void close_all(storm *self)
{
    for (int i = 0; i < PLACES; i++) {
        place *at = &self->places[i];
        if (at->host != REDLOCK_HOST_KEEPER) pthread_join(at->pump, NULL);
        atomic_store(&self->may_close, false);
        pthread_rwlock_wrlock(&at->lock); /* a completion may be closing it */
        redlock_client *left = at->client;
        at->client = NULL;
        pthread_rwlock_unlock(&at->lock);
        EXPECT(redlock_close(left), REDLOCK_OK);
    }
}

/* Leases that outlast the storm are not what takes away what nobody has: the clients do. */
static void come_home(storm *self, sailor *crew)
{
    atomic_store(&self->is_over, true);
    for (int i = 0; i < SAILORS; i++) pthread_join(crew[i].thread, NULL);
    if (self->is_narrow) eventually(has_nothing_on_the_server, self);
    atomic_store(&self->are_pumps_over, true);
    close_all(self);
    for (act *held; (held = next_held(self)) != NULL;) (void)redlock_release(held->lock);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static bool has_so_many_descriptors(void *arg) { return open_descriptors() <= *(int *)arg; }
static bool has_so_many_threads(void *arg) { return running_threads() <= *(int *)arg; }

static void rage(storm *self, sailor *crew, uint64_t seconds)
{
    uint64_t seed = from_environment("REDLOCK_STORM_SEED", (uint64_t)now_us());
    print_message("seed %llu, %llu s\n", (unsigned long long)seed, (unsigned long long)seconds);
    dice luck = {seed | 1};
    set_sail(self, crew, seed);
    for (int64_t until_us = now_us() + (int64_t)seconds * 1000000; now_us() < until_us;) {
        for (uint32_t pauses = 1 + throw(&luck, 60); pauses > 0; pauses--) patience_pause();
        weather(self, &luck);
    }
    come_home(self, crew);
}

static void expect_each_completed_once(storm *self, sailor *crew, uint64_t least)
{
    census seen = {0};
    for (int i = 0; i < SAILORS; i++) count(&seen, crew[i].acts);
    count(&seen, self->strays);
    print_message("%llu operations, %llu closings\n", (unsigned long long)seen.acts,
                  (unsigned long long)self->closings);
    assert_int_equal(seen.never, 0);
    assert_int_equal(seen.twice, 0);
    assert_int_equal(seen.uninvited, 0);
    assert_int_equal(seen.lost_twice, 0);
    assert_true(seen.acts > least);
    for (int i = 0; i < SAILORS; i++) forget(crew[i].acts);
    forget(self->strays);
}

static void storm_over(async_stage *on, uint32_t names, bool is_narrow)
{
    storm *self = &the_storm;
    sailor crew[SAILORS];
    uint64_t seconds = from_environment("REDLOCK_STORM_SECONDS", DEFAULT_SECONDS);
    memset(self, 0, sizeof *self);
    self->stage = on;
    self->names = names;
    self->is_narrow = is_narrow;
    pthread_mutex_init(&self->mutex, NULL);
    atomic_store(&self->may_close, !is_narrow);
    server_number(on->stage->server, "PING");
    int descriptors = open_descriptors(), threads = running_threads();
    rage(self, crew, seconds);
    eventually(is_all_given_back, &on->account);
    eventually(has_so_many_threads, &threads);
    eventually(has_so_many_descriptors, &descriptors);
    expect_each_completed_once(self, crew, seconds * 100);
}

static void a_storm_leaves_every_operation_complete_and_nothing_behind(void **state)
{
    storm_over(*state, NAMES, false);
    assert_true(the_storm.closings > 0);
}

/* Whoever is told of a lock that nobody has, or kept one, would have it for its whole lease. */
static void a_storm_over_two_names_leaves_nothing_on_the_server(void **state)
{
    async_stage *the = *state;
    storm_over(the, 2, true);
    for (int i = 0; i < 2; i++) {
        const char *name = (const char *[]){"storm:0", "storm:1"}[i];
        redlock_lock *lock = take(the->stage->other, name, REDLOCK_OPTIONS(.wait_ms = 1000));
        EXPECT(redlock_release(lock), REDLOCK_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_HOST(a_storm_leaves_every_operation_complete_and_nothing_behind, by_hand),
        ON_HOST(a_storm_over_two_names_leaves_nothing_on_the_server, by_hand),
    };
    return cmocka_run_group_tests_name("live storm", tests, NULL, NULL);
}
