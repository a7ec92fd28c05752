/* SPDX-License-Identifier: MIT
 * The laws of locks, for each mode, policy and transport, by the asynchronous calls, on each
 * host. */
#include "laws/combinations.h"

static const law_driver drivers[] = {
    {"on the keeper", law_open_keeper, law_close_looped, law_acquire_async, law_release_async},
    {"delivered", law_open_delivered, law_close_looped, law_acquire_async, law_release_async},
    {"manual", law_open_manual, law_close_looped, law_acquire_async, law_release_async},
};

int main(int argc, char **argv) { return laws_run_all(drivers, 3, argc > 1 ? argv[1] : NULL); }
