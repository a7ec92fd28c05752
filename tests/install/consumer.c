/* SPDX-License-Identifier: MIT
 * A user's program. It defines names that the library uses inside, which must not meet. */
#include <redlock/redlock.h>

#include <stdio.h>
#include <string.h>

void log_line(void);
void log_line(void) {}
int key_write = 1;

int main(void)
{
    char expected[32];
    redlock_client *client;
    snprintf(expected, sizeof expected, "%d.%d.%d", REDLOCK_VERSION_MAJOR, REDLOCK_VERSION_MINOR,
             REDLOCK_VERSION_PATCH);
    if (strcmp(redlock_version(), expected) != 0) return 1;
    if (redlock_open("nonsense", NULL, &client) != REDLOCK_ERR_URI) return 2;
    printf("redlock %s\n", redlock_version());
    return 0;
}
