/* SPDX-License-Identifier: MIT
 * Workers that use the blocking calls, and the beginning and end of every worker. */
#include "faults/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "faults/pulse.h"

enum { STEP_US = 1000, REST_US = 5000, CONVERT_ONE_IN = 3 };

void worker_pass(int64_t span_us)
{
    nanosleep(&(struct timespec){span_us / 1000000, span_us % 1000000 * 1000}, NULL);
}

/* ---- A visit ----------------------------------------------------------------------------------*/

static void work(visit *at)
{
    while (visit_work(at)) worker_pass(STEP_US);
}

/* Enters once more what it holds already. */
static void re_enter(worker *self, visit *at)
{
    redlock_lock *inner;
    redlock_options o = {
        .struct_size = sizeof o, .reentrant = true, .owner = at->owner, .wait_ms = 1000};
    o.mode = redlock_lock_mode(at->lock);
    if (redlock_acquire(self->client, lock_names[at->name], &o, &inner) != REDLOCK_OK) return;
    if (inner != at->lock) abort();
    work(at);
    (void)redlock_release(inner);
}

/* To the other mode. False when the hold is in neither for sure. */
static bool convert(visit *at)
{
    bool was_shared = redlock_lock_mode(at->lock) == REDLOCK_SHARED;
    visit_leave(at);
    visit_convert(at);
    redlock_status status = was_shared ? redlock_upgrade(at->lock) : redlock_downgrade(at->lock);
    if (status != REDLOCK_OK && status != REDLOCK_DEADLOCK) return false;
    return visit_enter(at);
}

static void work_and_convert(worker *self, visit *at)
{
    work(at);
    if (!at->wants->is_reentrant) return;
    re_enter(self, at);
    while (dice_below(&at->dice, CONVERT_ONE_IN) == 0 && convert(at)) work(at);
}

static redlock_status attempt(worker *self, visit *at)
{
    redlock_lock *lock;
    redlock_options o = visit_plan(at);
    redlock_status status = redlock_acquire(self->client, lock_names[at->name], &o, &lock);
    visit_answered(at, status, lock);
    if (status != REDLOCK_OK) return status;
    if (visit_enter(at)) work_and_convert(self, at);
    visit_leave(at);
    while (visit_awaits_word(at)) worker_pass(STEP_US);
    visit_settle(at, redlock_release(lock));
    return status;
}

void worker_block(worker *self)
{
    visit *at = &self->visits[0];
    for (int order; (order = atomic_load(&self->ledger->order)) != ORDER_GO_HOME;) {
        atomic_store(&at->seat->is_resting, order == ORDER_REST);
        if (order == ORDER_REST) worker_pass(REST_US);
        else worker_pass(visit_pause_us(at, attempt(self, at)));
    }
}

/* ---- Its life ---------------------------------------------------------------------------------*/

static bool open_all(worker *self, int number, const char *uri, uint64_t seed)
{
    self->role = &roster[number];
    for (int i = 0; i < self->role->seats; i++)
        visit_open(&self->visits[i], self->ledger, self->role->first_seat + i, seed);
    return pulse_start() &&
           redlock_open(uri,
                        REDLOCK_CLIENT_OPTIONS(.host = self->role->host, .name = "faults",
                                               .user = WORKER_USER, .password = WORKER_PASSWORD,
                                               .timeout_ms = WORKER_TIMEOUT_MS,
                                               .connect_timeout_ms = WORKER_TIMEOUT_MS,
                                               .linger_ms = WORKER_LINGER_MS,
                                               .log_level = REDLOCK_LOG_SILENT),
                        &self->client) == REDLOCK_OK;
}

int worker_main(char **argv)
{
    static worker self;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    self.ledger = ledger_map((int)strtol(argv[3], NULL, 10));
    if (self.ledger == NULL) return 2;
    if (!open_all(&self, (int)strtol(argv[2], NULL, 10), argv[4], strtoull(argv[5], NULL, 10)))
        return 3;
    if (self.role->is_async) worker_turn(&self);
    else worker_block(&self);
    return redlock_close(self.client) == REDLOCK_OK ? 0 : 4;
}
