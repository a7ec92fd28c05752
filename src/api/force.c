/* SPDX-License-Identifier: MIT
 * Taking a lock away from those who hold it: looks, and then names the fence that it saw. */
#include "api/act.h"

static bool force_is_asked(act *self, question *about)
{
    *about = (question){.script = SCRIPT_FORCE,
                        .key = self->key,
                        .key_length = self->key_length,
                        .first_ms = self->client->linger_ms};
    return true;
}

/* The fence is another one than was named. Where an attempt was cut, that one did it; else it was
 * the first look, or somebody came or went. A fence of 0: nobody has the lock. */
static bool takes_away(act *self, int64_t fence)
{
    bool was_taken = self->is_done || (self->fence != 0 && self->state->is_ambiguous);
    if (was_taken || fence == 0) return false;
    self->fence = fence;
    self->state->is_ambiguous = false; /* a look that was cut has taken nothing */
    self->asks->question.fence = fence;
    return true;
}

/* How many lost it is told by the first answer that says that it was done. */
static bool force_is_judged(act *self, const answer *from)
{
    self->status = REDLOCK_OK;
    if (from->code == FORCE_STALE) return takes_away(self, from->value[0]);
    bool is_known = from->code == FORCE_FREED || from->code == FORCE_HANDED_OVER ||
                    from->code == CODE_MORE;
    if (!is_known) self->status = REDLOCK_ERR_PROTOCOL;
    if (is_known && !self->is_done) self->removed = from->value[1];
    self->is_done |= is_known;
    return false;
}

const act_kind act_force = {.begin = force_is_asked, .judge = force_is_judged};

redlock_status redlock_force_release(redlock_client *client, const void *name, size_t name_length,
                                     size_t *removed, redlock_detail *detail)
{
    act self;
    if (removed != NULL) *removed = 0;
    redlock_status status =
        act_wait_about_name(&self, &act_force, client, name, name_length, detail);
    if (removed != NULL && status == REDLOCK_OK) *removed = (size_t)self.removed;
    return status;
}
