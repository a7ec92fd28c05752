/* SPDX-License-Identifier: MIT
 * The scripts, as far as one hold is concerned (docs/protocol.md). */
#include <stddef.h>

#include "explore/world.h"

static void lengthen(site *server)
{
    server->is_ahead = true;
    server->has_run_out = false;
}

uint8_t server_mint(world *w) { return w->server.fence = ++w->minted; }

static enum code acquire(world *w, const message *asks)
{
    site *server = &w->server;
    if (server->is_buried) return BURIED;
    if (server->place == NOWHERE) {
        bool is_free = server->other == NOBODY;
        bool may_join = server->other == READER && asks->kind == SHARED;
        if (!is_free && !may_join) return BUSY;
        if (is_free) server_mint(w);
        server->place = asks->kind;
    }
    lengthen(server);
    return DONE;
}

static enum code renew(site *server)
{
    if (server->place == NOWHERE) return ABSENT;
    lengthen(server);
    return DONE;
}

static enum code downgrade(world *w, const message *asks)
{
    site *server = &w->server;
    if (server->place == NOWHERE) return ABSENT;
    if (keeps(RULE_CONVERSIONS_NAME_A_FENCE) && asks->fence != server->fence) return STALE;
    if (server->place == EXCLUSIVE || keeps(RULE_A_DOWNGRADE_OF_SHARED_MINTS)) server_mint(w);
    server->place = SHARED;
    return DONE;
}

static enum code upgrade(world *w, const message *asks)
{
    site *server = &w->server;
    if (server->place == NOWHERE) return ABSENT;
    if (keeps(RULE_CONVERSIONS_NAME_A_FENCE) && asks->fence != server->fence) return STALE;
    if (server->place == SHARED && server->other == READER) {
        if (keeps(RULE_A_DEADLOCK_MINTS)) server_mint(w);
        return DEADLOCK;
    }
    if (server->place == SHARED || keeps(RULE_AN_UPGRADE_OF_EXCLUSIVE_MINTS)) server_mint(w);
    server->place = EXCLUSIVE;
    lengthen(server);
    return DONE;
}

static enum code leave(site *server, const message *asks)
{
    enum code code = server->place == NOWHERE ? ABSENT : DONE;
    server->place = NOWHERE;
    server->is_buried |= asks->buries;
    return code;
}

static enum code execute(world *w, const message *asks)
{
    switch (asks->act) {
    case ACQUIRE: return acquire(w, asks);
    case RENEW: return renew(&w->server);
    case DOWNGRADE: return downgrade(w, asks);
    case UPGRADE: return upgrade(w, asks);
    default: return leave(&w->server, asks);
    }
}

void server_execute(world *w, const message *asks, asker *from)
{
    const message kept = *asks; /* it may be taken away */
    enum code code = execute(w, &kept);
    if (from == NULL) return;
    from->code = (uint8_t)code;
    from->told_fence = w->server.fence;
    from->told_kind = w->server.place;
}
