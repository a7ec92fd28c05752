/* SPDX-License-Identifier: MIT
 * A job that takes both names as a set. Rule: the second lock's user is the one behind the
 * worker's. */
#include <string.h>

#include "keeper/locks.h"
#include "sim/cast/actor.h"
#include "sim/court/grants.h"
#include "sim/court/referee.h"
#include "sim/machine/machine.h"

static void gathered(void *of, redlock_status status, redlock_set *set)
{
    ((awaited *)of)->set = set;
    awaited_done(of, status);
}

static int user_of_lock(worker *self, const redlock_lock *lock)
{
    const char *first = grants_name(worker_job(self)->name);
    bool is_first = strlen(first) == lock->name_length &&
                    memcmp(first, lock_name(lock), lock->name_length) == 0;
    return is_first ? self->user : self->user + 1;
}

/* It may be told before the call that acquires the set has returned. */
static void lost(void *of, redlock_lock *lock)
{
    worker *self = of;
    referee_lost(user_of_lock(self, lock));
    actor_close_inside(self->of);
}

static void warned(void *of, redlock_lock *lock, int64_t left_ms)
{
    referee_warned(user_of_lock(of, lock), left_ms);
}

static redlock_status gather_async(worker *self, const redlock_name_bytes names[2],
                                   const redlock_options *options, redlock_set **set)
{
    awaited *completion = awaited_new(self);
    redlock_status status = redlock_acquire_set_async(self->of->client, names, 2, options, gathered,
                                                      completion, &self->operation);
    if (status == REDLOCK_OK) status = awaited_wait(completion);
    self->operation = 0;
    *set = completion->set;
    return status;
}

static redlock_status gather(worker *self, redlock_set **set)
{
    const job *what = worker_job(self);
    const char *first = grants_name(what->name), *second = grants_name(1 - what->name);
    const redlock_name_bytes names[] = {{first, strlen(first)}, {second, strlen(second)}};
    redlock_options options;
    worker_options(&options, self);
    if (what->is_told) options.on_lost = lost;
    if (what->is_told) options.on_risk = warned;
    return what->is_async ? gather_async(self, names, &options, set)
                          : redlock_acquire_set(self->of->client, names, 2, &options, set);
}

static redlock_status part(worker *self, redlock_set *set)
{
    if (!worker_job(self)->is_async || self->of->is_closing) return redlock_release_set(set);
    awaited *completion = awaited_new(self);
    redlock_status status = redlock_release_set_async(set, awaited_done, completion);
    return status == REDLOCK_OK ? awaited_wait(completion)
                                : status; /* closed just now: it took the set all the same */
}

static void hold_set(worker *self, redlock_set *set)
{
    const actor *of = self->of;
    fiber_wait(now_us() + worker_job(self)->hold_us, NULL);
    referee_releases(self->user);
    referee_releases(self->user + 1);
    bool was_closing = of->is_closing;
    redlock_status status = part(self, set);
    if (!was_closing && !of->is_closing) referee_parted(self->user, status);
}

void worker_work_set(worker *self)
{
    redlock_set *set = NULL;
    referee_gathers(self->user);
    referee_gathers(self->user + 1);
    redlock_status status = gather(self, &set);
    for (int i = 0; i < 2; i++)
        referee_acquired(self->user + i, status, redlock_set_lock(set, (size_t)i));
    if (status == REDLOCK_OK) hold_set(self, set);
}
