/* SPDX-License-Identifier: MIT
 * The laws of locks, for each mode, policy and transport, by the blocking calls. */
#include "laws/combinations.h"

static const law_driver drivers[] = {
    {"blocking", law_open_blocking, redlock_close, redlock_acquire, redlock_release},
    {"carried", law_open_carried, redlock_close, redlock_acquire, redlock_release},
};

int main(int argc, char **argv) { return laws_run_all(drivers, 2, argc > 1 ? argv[1] : NULL); }
