/* SPDX-License-Identifier: MIT
 * A binary heap of events, ordered by instant and then by number. */
#include "sim/world/events.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/machine/machine.h"
#include "sim/room.h"

enum { EVENTS_MOST = ROOM(8192, 65536) };

typedef struct event {
    int64_t at_us;
    uint64_t number;
    event_fn *happens;
    void *subject, *detail;
    size_t size;
} event;

static event heap[EVENTS_MOST]; /* heap[1] is the next */
static size_t count;
static uint64_t planned, digest;

void events_begin(void)
{
    count = 0;
    planned = 0;
    digest = UINT64_C(14695981039346656037); /* FNV-1a, by whole numbers */
}

uint64_t events_digest(void) { return digest; }

static void note(int64_t number) { digest = (digest ^ (uint64_t)number) * UINT64_C(1099511628211); }

static bool is_before(const event *a, const event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

void event_at(int64_t instant_us, event_fn *happens, void *subject, void *detail, size_t size)
{
    if (count + 1 == EVENTS_MOST) {
        fprintf(stderr, "too many events\n");
        abort();
    }
    event new_one = {instant_us, planned++, happens, subject, detail, size};
    size_t place = ++count;
    for (; place > 1 && is_before(&new_one, &heap[place / 2]); place /= 2)
        heap[place] = heap[place / 2];
    heap[place] = new_one;
}

int64_t events_next_us(void) { return count == 0 ? SIM_NEVER : heap[1].at_us; }

static void remove_first(void)
{
    event last = heap[count--];
    size_t place = 1;
    while (place * 2 <= count) {
        size_t child = place * 2;
        if (child < count && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &last)) break;
        heap[place] = heap[child];
        place = child;
    }
    heap[place] = last;
}

void events_happen(void)
{
    event first = heap[1];
    remove_first();
    note(first.at_us);
    note((int64_t)first.size);
    first.happens(first.subject, first.detail, first.size);
}
