/* SPDX-License-Identifier: MIT
 * Threads or processes that do one thing at the same time, in slices, under a conductor. */
#include "crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"
#include "stopwatch.h"

/* Longer than any slice; a crew that is not back by then hangs. */
enum { AWAIT_LIMIT_S = 30 };

struct crew {
    enum crew_kind kind;
    int size;
    const crew_task *task;
    void *arg;
    sem_t done;
    atomic_bool is_stopping, is_ending, has_failed;
    atomic_int choice;
    union {
        pthread_t thread;
        pid_t process;
    } hand[CREW_MAX];
    member members[CREW_MAX];
};

static void sleep_on(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
    }
}

static void *live(void *arg)
{
    member *self = arg;
    crew *own = self->crew;
    void *kept = own->task->open(own->arg, self->index);
    if (kept == NULL) atomic_store(&own->has_failed, true);
    sem_post(&own->done);
    for (sleep_on(&self->start); !atomic_load(&own->is_ending); sleep_on(&self->start)) {
        if (!own->task->slice(kept, self)) atomic_store(&own->has_failed, true);
        sem_post(&own->done);
    }
    if (kept != NULL) own->task->close(kept);
    return NULL;
}

static bool start_process(crew *self, int index)
{
    const pid_t conductor = getpid();
    const pid_t child = fork();
    if (child > 0) self->hand[index].process = child;
    if (child != 0) return child > 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == conductor) live(&self->members[index]);
    _exit(0);
}

static bool start_member(crew *self, int index)
{
    member *who = &self->members[index];
    who->crew = self;
    who->index = index;
    sem_init(&who->start, 1, 0);
    if (self->kind == CREW_PROCESSES) return start_process(self, index);
    return pthread_create(&self->hand[index].thread, NULL, live, who) == 0;
}

crew *crew_new(enum crew_kind kind, int size, const crew_task *task, void *arg)
{
    crew *self = shared_new(sizeof *self);
    if (self == NULL) return NULL;
    self->kind = kind;
    self->size = size;
    self->task = task;
    self->arg = arg;
    sem_init(&self->done, 1, 0);
    for (int i = 0; i < size; i++) {
        if (start_member(self, i)) continue;
        perror("bench: no thread or process");
        return NULL;
    }
    return crew_await(self) ? self : NULL;
}

void crew_begin(crew *self, int choice)
{
    atomic_store(&self->is_stopping, false);
    atomic_store(&self->choice, choice);
    for (int i = 0; i < self->size; i++) sem_post(&self->members[i].start);
}

void crew_stop(crew *self) { atomic_store(&self->is_stopping, true); }

/* False once the member failed or the limit passed. A failed member may leave the others waiting
 * for it, so it is looked at more often than the limit asks. */
static bool await_one(crew *self, int64_t limit_ns)
{
    while (now_ns() < limit_ns) {
        const int64_t until = now_ns() + 100 * NS_PER_MS;
        const struct timespec at = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
        if (sem_clockwait(&self->done, CLOCK_MONOTONIC, &at) == 0) return true;
        if (crew_has_failed(self)) return false;
    }
    fprintf(stderr, "bench: a participant hangs\n");
    return false;
}

bool crew_await(crew *self)
{
    const int64_t limit_ns = now_ns() + AWAIT_LIMIT_S * NS_PER_S;
    for (int i = 0; i < self->size; i++) {
        if (!await_one(self, limit_ns)) return false;
    }
    return !crew_has_failed(self);
}

void crew_close(crew *self)
{
    atomic_store(&self->is_ending, true);
    for (int i = 0; i < self->size; i++) sem_post(&self->members[i].start);
    for (int i = 0; i < self->size; i++) {
        if (self->kind == CREW_PROCESSES) {
            waitpid(self->hand[i].process, NULL, 0);
        } else {
            pthread_join(self->hand[i].thread, NULL);
        }
    }
    munmap(self, sizeof *self);
}

bool crew_has_failed(const crew *self) { return atomic_load(&self->has_failed); }

uint64_t crew_sections(const crew *self, uint64_t counts[CREW_MAX])
{
    uint64_t sum = 0;
    for (int i = 0; i < self->size; i++) {
        counts[i] = atomic_load_explicit(&self->members[i].sections, memory_order_relaxed);
        sum += counts[i];
    }
    return sum;
}

bool crew_is_stopping(const member *self)
{
    return atomic_load_explicit(&self->crew->is_stopping, memory_order_relaxed);
}

int crew_choice(const member *self) { return atomic_load(&self->crew->choice); }
