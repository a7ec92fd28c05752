/* SPDX-License-Identifier: MIT
 * The simulator's chance: splitmix64 (Steele, Lea, Flood 2014). Rule: one seed, one schedule; each
 * stream is its owner's, so that leaving one client out moves no other client's draws. */
#ifndef REDLOCK_TESTS_SIM_DICE_H
#define REDLOCK_TESTS_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dice {
    uint64_t state;
} dice;

static inline uint64_t dice_roll(dice *self)
{
    uint64_t z = self->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A stream of its own for the owner `number`. */
static inline dice dice_for(uint64_t seed, uint64_t number)
{
    dice made = {seed ^ (number + 1) * UINT64_C(0xd1342543de82ef95)};
    made.state = dice_roll(&made);
    return made;
}

/* In [0, bound); 0 for a bound of 0. */
static inline int64_t dice_below(dice *self, int64_t bound)
{
    return bound <= 0 ? 0 : (int64_t)(dice_roll(self) % (uint64_t)bound);
}

/* In [least, most]. */
static inline int64_t dice_between(dice *self, int64_t least, int64_t most)
{
    return least + dice_below(self, most - least + 1);
}

/* In [least, most], every order of magnitude as likely as every other. */
static inline int64_t dice_spread(dice *self, int64_t least, int64_t most)
{
    int bits = 0;
    while (bits < 62 && (most - least) >> bits > 0) bits++;
    int64_t span = (INT64_C(1) << dice_below(self, bits + 1)) - 1;
    return least + dice_below(self, (span < most - least ? span : most - least) + 1);
}

static inline bool dice_chance(dice *self, int permille)
{
    return permille > 0 && dice_below(self, 1000) < permille;
}

#endif
