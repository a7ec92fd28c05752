/* SPDX-License-Identifier: MIT
 * Handing over credentials, inside the callback that is asked for them. */
#include "net/credentials.h"

redlock_status redlock_credentials_set(redlock_credentials *to, const char *user,
                                       const char *password)
{
    return to == NULL ? REDLOCK_ERR_ARGUMENT : credentials_take(to, user, password);
}
