/* SPDX-License-Identifier: MIT
 * What a caller's event loop needs of a client: a descriptor, a timeout, and its turns. */
#include "api/client.h"
#include "engine/lease.h"
#include "host/cancellation.h"
#include "host/clock.h"

int redlock_fd(const redlock_client *client)
{
    if (client == NULL) return -1;
    bool delivers = client->host == REDLOCK_HOST_DELIVER;
    return delivers ? client->delivery.posted.fd : client->keeper.poller.fd;
}

int64_t redlock_timeout_ms(const redlock_client *client)
{
    bool has_none = client == NULL || client->host != REDLOCK_HOST_MANUAL;
    if (has_none || fork_guard_is_child(&client->fork)) return -1;
    int64_t wake_us = keeper_wake_us((keeper *)&client->keeper);
    int64_t now_us = clock_now_us();
    if (wake_us == NEVER) return -1;
    return wake_us <= now_us ? 0 : (wake_us - now_us + US_PER_MS - 1) / US_PER_MS;
}

/* True when a callback closed the client. */
static bool turn(redlock_client *client)
{
    if (client->host == REDLOCK_HOST_MANUAL) {
        keeper_process(&client->keeper);
        return atomic_load(&client->keeper.close_requested);
    }
    delivery_tell_all(&client->delivery);
    return atomic_load(&client->delivery.close_requested);
}

redlock_status redlock_process(redlock_client *client)
{
    if (client == NULL || client->host == REDLOCK_HOST_KEEPER) return REDLOCK_ERR_ARGUMENT;
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    int before = cancellation_defer();
    bool closes = turn(client);
    cancellation_restore(before);
    if (fork_guard_is_child(&client->fork)) return REDLOCK_ERR_FORKED;
    if (!closes) return REDLOCK_OK;
    status = client_close(client);
    return status == REDLOCK_OK ? REDLOCK_ERR_CLOSED : status;
}
