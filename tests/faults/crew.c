/* SPDX-License-Identifier: MIT
 * Starting, stopping and watching workers. */
#include "faults/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

bool crew_open(crew *self, uint64_t seed)
{
    self->seed = seed;
    self->ledger = ledger_create(&self->ledger_fd);
    return self->ledger != NULL;
}

void crew_start(crew *self, int worker)
{
    char number[16], fd[16], seed[24], program[] = "/proc/self/exe", word[] = "worker";
    snprintf(number, sizeof number, "%d", worker);
    snprintf(fd, sizeof fd, "%d", self->ledger_fd);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)self->seed++);
    char *words[] = {program, word, number, fd, self->uris[roster[worker].route], seed, NULL};
    for (int i = 0; i < roster[worker].seats; i++)
        atomic_store(&self->ledger->seats[roster[worker].first_seat + i].is_resting, false);
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) {
        execv(program, words);
        _exit(127);
    }
    self->pids[worker] = pid;
}

void crew_start_all(crew *self)
{
    for (int i = 0; i < WORKERS; i++) crew_start(self, i);
}

void crew_kill(crew *self, int worker)
{
    if (self->pids[worker] <= 0) return;
    kill(self->pids[worker], SIGKILL);
    while (waitpid(self->pids[worker], NULL, 0) < 0 && errno == EINTR) continue;
    self->pids[worker] = 0;
}

void crew_replace_all(crew *self)
{
    for (int i = 0; i < WORKERS; i++) crew_kill(self, i);
    crew_start_all(self);
}

void crew_close(crew *self)
{
    for (int i = 0; i < WORKERS; i++) crew_kill(self, i);
    munmap(self->ledger, sizeof *self->ledger);
    close(self->ledger_fd);
}

void crew_freeze(const crew *self, int worker) { kill(self->pids[worker], SIGSTOP); }
void crew_thaw(const crew *self, int worker) { kill(self->pids[worker], SIGCONT); }

bool crew_is_inside(const crew *self, int worker)
{
    for (int i = 0; i < roster[worker].seats; i++) {
        const seat *at = &self->ledger->seats[roster[worker].first_seat + i];
        int count = atomic_load(&at->count);
        if (count > 0 && at->sections[count - 1].leave_us == 0) return true;
    }
    return false;
}

/* Has it ended? Then it is forgotten, and counted if it should not have ended so. */
static bool has_ended(crew *self, int worker, bool may_go_home)
{
    int status;
    if (self->pids[worker] <= 0) return true;
    if (waitpid(self->pids[worker], &status, WNOHANG) != self->pids[worker]) return false;
    self->pids[worker] = 0;
    if (may_go_home && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    self->crashes++;
    printf("the worker \"%s\" ended with wait status %#x\n", roster[worker].title,
           (unsigned)status);
    return true;
}

void crew_look_after(crew *self)
{
    for (int i = 0; i < WORKERS; i++)
        if (self->pids[i] > 0 && has_ended(self, i, false)) crew_start(self, i);
}

int crew_remaining(crew *self)
{
    int remaining = 0;
    for (int i = 0; i < WORKERS; i++) remaining += !has_ended(self, i, true);
    return remaining;
}

progress crew_progress(const crew *self)
{
    progress now;
    for (int i = 0; i < SEATS; i++) now.answers[i] = atomic_load(&self->ledger->seats[i].answers);
    return now;
}

int crew_stuck_since(const crew *self, const progress *then, bool told)
{
    int stuck = 0;
    progress now = crew_progress(self);
    for (int i = 0; i < SEATS; i++) {
        if (now.answers[i] != then->answers[i]) continue;
        stuck++;
        if (told) printf("stuck: seat %d, \"%s\"\n", i, role_of(i)->title);
    }
    return stuck;
}

void crew_order(crew *self, enum ledger_order order) { atomic_store(&self->ledger->order, order); }

int crew_restless(const crew *self, bool told)
{
    int restless = 0;
    for (int i = 0; i < SEATS; i++) {
        if (atomic_load(&self->ledger->seats[i].is_resting)) continue;
        restless++;
        if (told) printf("does not come to rest: seat %d, \"%s\"\n", i, role_of(i)->title);
    }
    return restless;
}
