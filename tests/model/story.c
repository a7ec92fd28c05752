/* SPDX-License-Identifier: MIT
 * Plays recorded steps again. */
#include "model/story.h"

#include <stdio.h>
#include <string.h>

static void print_answer(const char *who, const answer *it)
{
    printf("   %s {", who);
    for (int i = 0; i < it->count; i++) printf(i > 0 ? ", %lld" : "%lld", (long long)it->values[i]);
    printf("}\n");
}

static void print_subscription(const sequence *self, int number)
{
    const char *channel =
        self->parties[number % self->party_count].channels[number / self->party_count];
    printf(", %s %s",
           sequence_is_heard((sequence *)(uintptr_t)self, channel) ? "SUBSCRIBE" : "UNSUBSCRIBE",
           channel);
}

static void print_call(const sequence *self, const step *it)
{
    const call *asked = &it->asked;
    printf("%+lld us", (long long)(it->now_us - CLOCK_BEGIN));
    if (it->toggled >= 0) print_subscription(self, it->toggled);
    if (it->is_flushed) printf(", the key is deleted");
    printf("\n   %s '%s' ttl %lld grace %lld linger %lld nonce %lld mode '%s' inbox '%s' arrival "
           "%lld fence %lld "
           "burial %lld%s\n",
           scripts[asked->script].name, asked->holder, (long long)asked->ttl_ms,
           (long long)asked->grace_ms, (long long)asked->linger_ms, (long long)asked->nonce,
           asked->mode, asked->inbox, (long long)asked->arrival_us, (long long)asked->fence,
           (long long)asked->burial_ms, asked->is_plain ? " (left out)" : "");
}

static void print_members(const char *whose, const member *all, int count)
{
    printf("   %s\n", whose);
    for (int i = 0; i < count; i++)
        printf("      %+lld  %s\n", (long long)all[i].score, all[i].name);
}

/* Until it differs, or to its end. */
static bool replay(sequence *self, stage *on, bool is_told)
{
    static picture shown;
    static verdict out;
    sequence_rewind(self);
    for (; self->at < self->length && !self->has_failed; self->at++) {
        stage_play(on, &self, 1, &shown);
        judge_step(self, &shown, &out);
        if (!is_told) continue;
        print_call(self, &self->steps[self->at]);
        print_answer("server", &self->steps[self->at].got);
        print_answer("model ", &out.expected);
        for (int i = 0; i < self->heard_count; i++) printf("   heard '%s'\n", self->heard[i].text);
        if (!self->has_failed) continue;
        print_members("server's set:", shown.members, shown.count);
        print_members("model's set:", out.members, out.member_count);
        printf("   %s\n", out.why);
    }
    stage_clear(on);
    return self->has_failed;
}

static void leave_out(sequence *self, int at)
{
    memmove(&self->steps[at], &self->steps[at + 1],
            (size_t)(self->length - at - 1) * sizeof *self->steps);
    self->length--;
}

void story_shrink(sequence *self, stage *on)
{
    static sequence shorter;
    if (!replay(self, on, false)) return;
    for (int at = self->length - 1; at >= 0; at--) {
        shorter = *self;
        leave_out(&shorter, at);
        if (replay(&shorter, on, false)) *self = shorter;
        if (self->has_failed && self->at < self->length) self->length = self->at;
        if (at > self->length) at = self->length;
    }
}

void story_tell(sequence *self, stage *on)
{
    printf("---- seed %llu, %s limits, %d steps that matter\n", (unsigned long long)self->seed,
           self->is_small ? "small" : "usual", self->length);
    if (!replay(self, on, true)) printf("     it does not differ when it is played again\n");
}
