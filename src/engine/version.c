/* SPDX-License-Identifier: MIT
 * Versions of a hold, in the order of their fences. Pure: no clock, no socket. */
#include "engine/version.h"

#include <assert.h>

#include "wire/mode.h"

void version_told(version *self, uint64_t fence, char kind)
{
    assert(kind == KIND_EXCLUSIVE || kind == KIND_SHARED);
    if (fence <= self->fence) return;
    self->fence = fence;
    self->kind = kind;
}

void version_doubted(version *self, uint64_t fence)
{
    assert(fence > 0);
    if (fence > self->doubt) self->doubt = fence;
}

bool version_is_settled(const version *self) { return self->fence > self->doubt; }

char version_kind(const version *self)
{
    bool is_exclusive = self->kind == KIND_EXCLUSIVE && version_is_settled(self);
    return is_exclusive ? KIND_EXCLUSIVE : KIND_SHARED;
}
