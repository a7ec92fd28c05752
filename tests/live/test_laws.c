/* SPDX-License-Identifier: MIT
 * The laws of locks, for each mode, policy and transport, by the blocking calls. */
#include "laws/combinations.h"

int main(int argc, char **argv)
{
    const law_plan blocking = {0, LAW_BLOCKING_DRIVERS, false};
    return laws_run_all(blocking, argc > 1 ? argv[1] : NULL);
}
