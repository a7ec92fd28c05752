/* SPDX-License-Identifier: MIT
 * Greedy shrinking: whatever can be left out is left out, until nothing more can. */
#include "sim/schedules/shrink.h"

#include <stddef.h>

#include "sim/schedules/schedule.h"

static bool still_fails_without(plan *failing, bool *is_left_out)
{
    if (*is_left_out) return false;
    *is_left_out = true;
    if (schedule_run(failing) != NULL) return true;
    *is_left_out = false;
    return false;
}

static bool leave_out_a_client(plan *failing)
{
    bool has_shrunk = false;
    for (int i = 0; i < failing->client_count; i++)
        has_shrunk |= still_fails_without(failing, &failing->clients[i].is_left_out);
    return has_shrunk;
}

static bool leave_out_a_fault(plan *failing)
{
    bool has_shrunk = false;
    for (int i = 0; i < failing->fault_count; i++)
        has_shrunk |= still_fails_without(failing, &failing->faults[i].is_left_out);
    return has_shrunk;
}

static bool leave_out_a_job(plan *failing)
{
    bool has_shrunk = false;
    for (int i = 0; i < failing->client_count; i++) {
        client_plan *of = &failing->clients[i];
        for (int j = 0; j < of->job_count && !of->is_left_out; j++)
            has_shrunk |= still_fails_without(failing, &of->jobs[j].is_left_out);
    }
    return has_shrunk;
}

/* A simpler world: no spikes, no pieces, no repetitions, no stalls, no late loops. */
static bool calm(plan *failing, int *value)
{
    int before = *value;
    if (before == 0) return false;
    *value = 0;
    if (schedule_run(failing) != NULL) return true;
    *value = before;
    return false;
}

static bool leave_out_lateness(plan *failing)
{
    bool has_shrunk = calm(failing, &failing->network.spike_permille);
    has_shrunk |= calm(failing, &failing->network.pieces_permille);
    has_shrunk |= calm(failing, &failing->network.repeat_permille);
    for (int i = 0; i < failing->client_count; i++)
        has_shrunk |= calm(failing, &failing->clients[i].stall_permille) |
                      calm(failing, &failing->clients[i].late_permille);
    return has_shrunk;
}

void shrink(plan *failing)
{
    bool has_shrunk = true;
    while (has_shrunk) {
        has_shrunk = leave_out_a_client(failing);
        has_shrunk |= leave_out_a_fault(failing);
        has_shrunk |= leave_out_a_job(failing);
        has_shrunk |= leave_out_lateness(failing);
    }
}
