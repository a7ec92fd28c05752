/* SPDX-License-Identifier: MIT
 * The laws of locks, for each mode and transport, by the blocking calls. */
#include "laws/laws.h"

int main(void)
{
    static const law_terms combinations[] = {
        {.title = "exclusive, unix socket, blocking", .acquire = redlock_acquire, .release = redlock_release},
        {.title = "exclusive, tcp, blocking", .by_tcp = true, .acquire = redlock_acquire, .release = redlock_release},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof combinations / sizeof *combinations; i++) failed += laws_run(&combinations[i]);
    return failed;
}
