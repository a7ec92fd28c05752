/* SPDX-License-Identifier: MIT
 * Virtual time, fibers and the arena. Rule: the order in which fibers run depends on nothing but
 * the schedule. */
#undef _FORTIFY_SOURCE /* it takes a jump to another stack for a mistake */
#include "sim/machine/machine.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "sim/machine/wrapped.h"
#include "sim/room.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define KNOWS_STACKS_BY_CONTEXT true
#else
#define ASAN_POISON_MEMORY_REGION(place, size) ((void)(place), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(place, size) ((void)(place), (void)(size))
#define KNOWS_STACKS_BY_CONTEXT false
#endif

enum { STACK_SIZE = 192 * 1024, ARENA_SIZE = ROOM(64, 512) << 20, ARENA_UNIT = 16 };

/* Always at the same place: the library derives jitter from addresses. */
#define ARENA_PLACE ((void *)0x200000000000)

/* Where a fiber, or the simulator, goes on: at `left_at`, but for the first time at `context`. */
typedef struct standpoint {
    ucontext_t context;
    jmp_buf left_at;
    bool was_left;
} standpoint;

struct fiber {
    standpoint stands;
    char *stack;
    int machine;
    bool is_used, is_over, is_ready;
    int64_t wake_us;
    const void *subject;
    fiber_ready_fn *is_polled_ready;
    void *looked_at;
    size_t looked_at_count;
    void *(*body)(void *);
    void *argument;
};

static machine machines[MACHINES_MOST];
static fiber fibers[FIBERS_MOST];
static int fiber_count;
static fiber *running;
static standpoint simulator;
static int64_t instant_us;
static char *arena;
static size_t arena_used;

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Its size stands before each block, where nobody else may read. */
void *arena_take(size_t size)
{
    size_t whole = ARENA_UNIT + ((size + ARENA_UNIT - 1) & ~(size_t)(ARENA_UNIT - 1));
    if (arena_used + whole > ARENA_SIZE) {
        fprintf(stderr, "the simulator's memory is too small\n");
        abort();
    }
    char *block = arena + arena_used + ARENA_UNIT;
    arena_used += whole;
    ASAN_UNPOISON_MEMORY_REGION(block - ARENA_UNIT, ARENA_UNIT + size);
    memcpy(block - ARENA_UNIT, &size, sizeof size);
    ASAN_POISON_MEMORY_REGION(block - ARENA_UNIT, ARENA_UNIT);
    return block;
}

void arena_give_back(void *block)
{
    size_t size;
    if (block == NULL) return;
    ASAN_UNPOISON_MEMORY_REGION((char *)block - ARENA_UNIT, ARENA_UNIT);
    memcpy(&size, (char *)block - ARENA_UNIT, sizeof size);
    ASAN_POISON_MEMORY_REGION((char *)block - ARENA_UNIT, ARENA_UNIT + size);
}

/* Not to be inlined beside getcontext, which returns twice. */
__attribute__((noinline)) static char *map(void *place, size_t size, int flags)
{
    void *mapped = __real_mmap(place, size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    if (mapped != MAP_FAILED) return mapped;
    perror("mmap");
    exit(2);
}

/* ---- Clocks ---------------------------------------------------------------------------------- */

void machines_begin(uint64_t seed, int count)
{
    if (arena == NULL) {
        arena = map(ARENA_PLACE, ARENA_SIZE, MAP_FIXED_NOREPLACE);
        ASAN_POISON_MEMORY_REGION(arena, ARENA_SIZE);
    }
    ASAN_POISON_MEMORY_REGION(arena, arena_used);
    arena_used = 0;
    instant_us = 0;
    running = NULL;
    fiber_count = 0;
    for (int i = 0; i < FIBERS_MOST; i++) fibers[i].is_used = false;
    for (int i = 0; i < count; i++)
        machines[i] = (machine){.dice = dice_for(seed, 100 + (uint64_t)i)};
}

machine *machine_at(int number) { return &machines[number]; }

int64_t now_us(void) { return instant_us; }

void set_now_us(int64_t to_us) { instant_us = to_us; }

static int64_t shown_at(const machine *self, int64_t at_us)
{
    return self->offset_us + at_us + at_us * self->rate_ppm / 1000000;
}

int64_t machine_clock_us(int number) { return shown_at(&machines[number], instant_us); }

int64_t machine_instant_us(int number, int64_t local_us)
{
    const machine *self = &machines[number];
    if (local_us >= SIM_NEVER / 4) return SIM_NEVER;
    int64_t at_us = (local_us - self->offset_us) * 1000000 / (1000000 + self->rate_ppm) - 2;
    while (shown_at(self, at_us) < local_us) at_us++;
    return at_us;
}

/* ---- Fibers ---------------------------------------------------------------------------------- */

static void go_on_at(standpoint *to)
{
    if (to->was_left) _longjmp(to->left_at, 1);
    setcontext(&to->context);
}

/* A context brings the signal mask with it, by a system call; a jump does not, which makes a
 * schedule a third shorter. But the address sanitizer learns of stacks by swapcontext only. */
static void switch_to(standpoint *from, standpoint *to)
{
    from->was_left = !KNOWS_STACKS_BY_CONTEXT;
    if (KNOWS_STACKS_BY_CONTEXT) swapcontext(&from->context, &to->context);
    else if (_setjmp(from->left_at) == 0) go_on_at(to);
}

static void begin(void)
{
    running->body(running->argument);
    running->is_over = true;
    fibers_wake(running);
    switch_to(&running->stands, &simulator);
}

/* A place is used once in a schedule: a thread that is over may still be joined. */
static fiber *unused(void)
{
    if (fiber_count < FIBERS_MOST) return &fibers[fiber_count++];
    fprintf(stderr, "the simulator has too few fibers\n");
    abort();
}

static void stand_at_beginning(standpoint *self, char *stack)
{
    self->was_left = false;
    getcontext(&self->context);
    self->context.uc_stack.ss_sp = stack;
    self->context.uc_stack.ss_size = STACK_SIZE;
    self->context.uc_link = NULL;
    makecontext(&self->context, begin, 0);
}

fiber *fiber_start(int machine_number, void *(*body)(void *), void *argument)
{
    fiber *self = unused();
    char *stack = self->stack != NULL ? self->stack : map(NULL, STACK_SIZE, 0);
    self->stack = stack;
    self->machine = machine_number;
    self->is_used = self->is_ready = true;
    self->is_over = false;
    self->wake_us = SIM_NEVER;
    self->subject = NULL;
    self->is_polled_ready = NULL;
    self->body = body;
    self->argument = argument;
    stand_at_beginning(&self->stands, stack);
    return self;
}

fiber *fiber_self(void) { return running; }
int fiber_machine(const fiber *self) { return self->machine; }
bool fiber_is_over(const fiber *self) { return self->is_over; }
unsigned long fiber_number(const fiber *self)
{
    return self == NULL ? 0 : (unsigned long)(self - fibers) + 1;
}
fiber *fiber_by_number(unsigned long number) { return &fibers[number - 1]; }

void fiber_wait(int64_t until_us, const void *subject)
{
    fiber *self = running;
    self->is_ready = false;
    self->wake_us = until_us;
    self->subject = subject;
    switch_to(&self->stands, &simulator);
    self->subject = NULL;
    self->is_polled_ready = NULL;
}

void fibers_wake(const void *subject)
{
    for (int i = 0; i < fiber_count; i++)
        if (fibers[i].is_used && fibers[i].subject == subject) fibers[i].is_ready = true;
}

void fiber_poll(int64_t until_us, fiber_ready_fn *is_ready, void *looked_at, size_t count)
{
    running->is_polled_ready = is_ready;
    running->looked_at = looked_at;
    running->looked_at_count = count;
    fiber_wait(until_us, NULL);
}

void fibers_look(int machine_number)
{
    for (int i = 0; i < fiber_count; i++) {
        fiber *self = &fibers[i];
        bool looks = self->is_used && self->machine == machine_number &&
                     self->is_polled_ready != NULL;
        if (looks && self->is_polled_ready(self->looked_at, self->looked_at_count))
            self->is_ready = true;
    }
}

void fibers_poll_until(int machine_number, int64_t until_us)
{
    for (int i = 0; i < fiber_count; i++) {
        fiber *self = &fibers[i];
        bool polls = self->is_used && self->machine == machine_number &&
                     self->is_polled_ready != NULL;
        if (polls && self->wake_us > until_us) self->wake_us = until_us;
    }
}

static int64_t runs_at_us(const fiber *self)
{
    if (!self->is_used || self->is_over) return SIM_NEVER;
    int64_t at_us = self->is_ready ? instant_us : self->wake_us;
    int64_t stopped_us = machines[self->machine].stopped_until_us;
    return at_us > stopped_us ? at_us : stopped_us;
}

static void run(fiber *self)
{
    self->is_ready = false;
    self->wake_us = SIM_NEVER;
    running = self;
    switch_to(&simulator, &self->stands);
    running = NULL;
}

void fibers_run(void)
{
    for (bool has_run = true; has_run;) {
        has_run = false;
        for (int i = 0; i < fiber_count; i++) {
            if (runs_at_us(&fibers[i]) > instant_us) continue;
            run(&fibers[i]);
            has_run = true;
        }
    }
}

int64_t fibers_next_us(void)
{
    int64_t next_us = SIM_NEVER;
    for (int i = 0; i < fiber_count; i++) {
        int64_t at_us = runs_at_us(&fibers[i]);
        if (at_us < next_us) next_us = at_us;
    }
    return next_us;
}
