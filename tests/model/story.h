/* SPDX-License-Identifier: MIT
 * A sequence that differs from the model, told to people, and made shorter before. */
#ifndef REDLOCK_TESTS_MODEL_STORY_H
#define REDLOCK_TESTS_MODEL_STORY_H

#include "model/judge.h"

/* Leaves out every step without which it still differs. */
void story_shrink(sequence *self, stage *on);
/* Plays it again, and prints each call with both answers, and at the end both sets. */
void story_tell(sequence *self, stage *on);

#endif
