/* SPDX-License-Identifier: MIT
 * How much the simulator has room for. It is built a second time for one client with ten thousand
 * locks: with many keys, of few members each. */
#ifndef REDLOCK_TESTS_SIM_ROOM_H
#define REDLOCK_TESTS_SIM_ROOM_H

#ifdef SIM_MANY_LOCKS
#define ROOM(usual, many) (many)
#else
#define ROOM(usual, many) (usual)
#endif

#endif
