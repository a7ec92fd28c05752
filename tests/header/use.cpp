/* SPDX-License-Identifier: MIT
 * The public header as C++ sees it: types and functions. (The macros that build options are C.)
 * Compiled only. */
#include <redlock/redlock.h>

int main()
{
    redlock_client_options client_options = redlock_client_options();
    client_options.struct_size = sizeof client_options;
    redlock_client *client;
    if (redlock_open("unix:///s", &client_options, &client) != REDLOCK_OK) return 1;

    redlock_options options = redlock_options();
    options.struct_size = sizeof options;
    options.wait_ms = REDLOCK_WAIT_FOREVER;
    redlock_lock *lock;
    if (redlock_acquire(client, "a", &options, &lock) != REDLOCK_OK) return 1;
    return static_cast<int>(redlock_release(lock)) + static_cast<int>(redlock_close(client));
}
