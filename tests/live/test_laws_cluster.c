/* SPDX-License-Identifier: MIT
 * The laws of locks over a cluster, for each mode by each way of calling, and in each mode for each
 * policy. */
#include "laws/combinations.h"

int main(int argc, char **argv)
{
    const law_plan clustered = {0, LAW_DRIVERS, true};
    return laws_run_all(clustered, argc > 1 ? argv[1] : NULL);
}
