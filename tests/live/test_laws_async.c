/* SPDX-License-Identifier: MIT
 * The laws of locks, for each mode, policy and transport, by the asynchronous calls, on each
 * host. */
#include "laws/combinations.h"

int main(int argc, char **argv)
{
    const law_plan asynchronous = {LAW_BLOCKING_DRIVERS, LAW_DRIVERS, false};
    return laws_run_all(asynchronous, argc > 1 ? argv[1] : NULL);
}
