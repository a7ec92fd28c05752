/* SPDX-License-Identifier: MIT
 * The roster. The seats of one worker follow each other. */
#include "faults/roster.h"

#include <stddef.h>

enum { PLAIN = 1, OTHER = 2, PAGES = 4, PERMITS = 8 }; /* in the order of lock_names */

const worker_role roster[WORKERS] = {
    {"tries", ROUTE_DIRECT, false, REDLOCK_HOST_KEEPER, true, 0, 1},
    {"waits", ROUTE_PROXY, false, REDLOCK_HOST_KEEPER, true, 1, 1},
    {"renews", ROUTE_PROXY_TCP, false, REDLOCK_HOST_KEEPER, false, 2, 1},
    {"reads", ROUTE_DIRECT, false, REDLOCK_HOST_KEEPER, true, 3, 1},
    {"reads, renews", ROUTE_PROXY, false, REDLOCK_HOST_KEEPER, false, 4, 1},
    {"re-enters", ROUTE_DIRECT, false, REDLOCK_HOST_KEEPER, true, 5, 1},
    {"has a permit", ROUTE_PROXY, false, REDLOCK_HOST_KEEPER, true, 6, 1},
    {"has a permit, renews", ROUTE_DIRECT, false, REDLOCK_HOST_KEEPER, false, 7, 1},
    {"async, keeper", ROUTE_PROXY_TCP, true, REDLOCK_HOST_KEEPER, false, 8, 3},
    {"async, manual", ROUTE_DIRECT, true, REDLOCK_HOST_MANUAL, false, 11, 3},
    {"async, deliver", ROUTE_PROXY, true, REDLOCK_HOST_DELIVER, true, 14, 2},
};

const demand demands[SEATS] = {
    /* names, mode, permits, ttl, wait, renews, re-enters */
    {PLAIN | OTHER, REDLOCK_EXCLUSIVE, 0, 500, 0, false, false},
    {PLAIN | OTHER, REDLOCK_EXCLUSIVE, 0, 500, 3000, false, false},
    {PLAIN | OTHER | PAGES | PERMITS, REDLOCK_EXCLUSIVE, 0, 600, REDLOCK_WAIT_FOREVER, true, false},
    {PAGES, REDLOCK_SHARED, 0, 400, 3000, false, false},
    {PAGES, REDLOCK_SHARED, 0, 600, REDLOCK_WAIT_FOREVER, true, false},
    {OTHER | PAGES, REDLOCK_EXCLUSIVE, 0, 700, 3000, true, true},
    {PERMITS, REDLOCK_SHARED, 2, 500, 3000, false, false},
    {PERMITS, REDLOCK_SHARED, 2, 600, REDLOCK_WAIT_FOREVER, true, false},
    {PLAIN, REDLOCK_EXCLUSIVE, 0, 600, REDLOCK_WAIT_FOREVER, true, false},
    {PAGES, REDLOCK_SHARED, 0, 500, 2000, false, false},
    {PERMITS, REDLOCK_SHARED, 2, 500, 2000, true, false},
    {PLAIN | OTHER, REDLOCK_EXCLUSIVE, 0, 700, REDLOCK_WAIT_FOREVER, true, false},
    {PAGES, REDLOCK_EXCLUSIVE, 0, 500, 3000, false, false},
    {PERMITS, REDLOCK_EXCLUSIVE, 0, 500, 3000, true, false},
    {OTHER, REDLOCK_EXCLUSIVE, 0, 500, 3000, false, false},
    {PAGES, REDLOCK_SHARED, 0, 600, REDLOCK_WAIT_FOREVER, true, false},
};

const worker_role *role_of(int number)
{
    const worker_role *role = roster;
    while (role + 1 < roster + WORKERS && number >= role[1].first_seat) role++;
    return role;
}
