/* SPDX-License-Identifier: MIT
 * Prints. */
#include "faults/report.h"

#include <stdio.h>

#include "faults/roster.h"
#include "support/patience.h"

enum {
    TOLD_MOST = 20,
    AROUND_US = 2000000,
    MEMORY_GROWTH_MOST_KB = 2048,
    DESCRIPTORS_GROWTH_MOST = 4
};

/* ---- Findings ---------------------------------------------------------------------------------*/

static double seconds(const report *self, int64_t at_us)
{
    return at_us == 0 ? 0 : (double)(at_us - self->began_us) / 1e6;
}

static void tell_section(const report *self, const section *one)
{
    printf(
        "  %s, seat %d (%s), %s, fence %llu, ttl %lld ms, promised at most %lld ms, released %s\n",
        lock_names[one->name], one->seat, role_of(one->seat)->title,
        one->mode == REDLOCK_SHARED ? "shared" : "exclusive", (unsigned long long)one->fence,
        (long long)one->ttl_ms, (long long)one->most_left_ms,
        one->settled_us == 0 ? "-" : redlock_status_name((redlock_status)one->released));
    printf("    asked %.6f entered %.6f until %.6f left %.6f lost %.6f told %.6f settled %.6f "
           "stalled %.6f\n",
           seconds(self, one->asked_us), seconds(self, one->enter_us), seconds(self, one->until_us),
           seconds(self, one->leave_us), seconds(self, one->lost_us), seconds(self, one->told_us),
           seconds(self, one->settled_us), (double)one->stall_us / 1e6);
    printf("    wrote from %.6f to %.6f, refused %u\n", seconds(self, one->first_written_us),
           seconds(self, one->last_written_us), one->refused);
}

static void tell_faults_around(const report *self, const section *one)
{
    for (int i = 0; i < self->fault_count; i++) {
        const fault *at = &self->faults[i];
        if (at->to_us < one->asked_us - AROUND_US || at->from_us > one->until_us + AROUND_US)
            continue;
        printf("  fault: %s, %.6f to %.6f\n", at->kind, seconds(self, at->from_us),
               seconds(self, at->to_us));
    }
}

void report_finding(void *arg, const char *what, const section *one, const section *other)
{
    report *self = arg;
    if (self->told++ >= TOLD_MOST) return;
    printf("broken: %s\n", what);
    tell_section(self, one);
    if (other != NULL) tell_section(self, other);
    tell_faults_around(self, one);
}

/* ---- Figures ----------------------------------------------------------------------------------*/

void report_day(const report *self, const char *what, int faults, long sections,
                const findings *found)
{
    printf("%7.1f s  %s: faults=%d sections=%ld overlaps=%ld falling_fences=%ld overstays=%ld "
           "robberies=%ld "
           "stale_writes=%ld excused=%ld\n",
           seconds(self, boot_us()), what, faults, sections, found->overlaps, found->falling_fences,
           found->overstays, found->robberies, found->stale_writes, found->excused);
    fflush(stdout);
}

/* No fault here makes the library run out of memory, or makes arguments or answers wrong. */
static bool is_surprise(redlock_status status)
{
    switch (status) {
    case REDLOCK_ERR_ARGUMENT:
    case REDLOCK_ERR_NAME:
    case REDLOCK_ERR_TTL:
    case REDLOCK_ERR_URI:
    case REDLOCK_ERR_MEMORY:
    case REDLOCK_ERR_SYSTEM:
    case REDLOCK_ERR_PROTOCOL:
    case REDLOCK_ERR_WRONG_TYPE:
    case REDLOCK_ERR_QUEUE_FULL:
    case REDLOCK_ERR_FORKED:
    case REDLOCK_ERR_IN_CALLBACK: return true;
    default: return false;
    }
}

void report_statuses(report *self, const ledger *from)
{
    printf("acquisitions:");
    for (int i = 0; i < STATUSES; i++) {
        uint64_t count = 0;
        for (int j = 0; j < SEATS; j++) count += atomic_load(&from->seats[j].ended_with[i]);
        redlock_status status = (redlock_status)(i + STATUS_LEAST);
        if (count > 0) printf(" %s=%llu", redlock_status_name(status), (unsigned long long)count);
        if (is_surprise(status)) self->surprises += (long)count;
    }
    printf(
        "\nsections: shared=%ld lost=%ld killed_inside=%ld refused_writes=%ld stale_grants=%ld\n",
        self->shared, self->lost, self->killed, self->refused, self->stale);
}

static bool has_grown(const report *self)
{
    if (patience_is_instrumented()) return false; /* sanitizers keep what was freed */
    return self->growth.memory_kb > MEMORY_GROWTH_MOST_KB ||
           self->growth.descriptors > DESCRIPTORS_GROWTH_MOST;
}

bool report_end(const report *self, uint64_t seed)
{
    const findings *found = &self->found;
    long broken = found->overlaps + found->falling_fences + found->overstays + found->robberies +
                  found->stale_writes;
    printf("faults=%d kinds=%d sections=%ld overlaps=%ld falling_fences=%ld overstays=%ld "
           "robberies=%ld "
           "stale_writes=%ld excused=%ld stuck=%ld leaked_keys=%ld surprises=%ld crashes=%ld "
           "longest_recovery_ms=%lld "
           "rss_growth_kb=%ld fds_growth=%ld seconds=%.0f seed=%llu\n",
           self->fault_count, self->kind_count, self->sections, found->overlaps,
           found->falling_fences, found->overstays, found->robberies, found->stale_writes,
           found->excused, self->stuck, self->leaked_keys, self->surprises, self->crashes,
           (long long)self->recovery_ms, self->growth.memory_kb, self->growth.descriptors,
           seconds(self, boot_us()), (unsigned long long)seed);
    return broken + self->stuck + self->leaked_keys + self->surprises + self->crashes == 0 &&
           !has_grown(self) && self->sections > 0;
}
