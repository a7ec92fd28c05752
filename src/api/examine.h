/* SPDX-License-Identifier: MIT
 * What a client that connects at once is warned of: rights that its user lacks, and a server that
 * may evict locks. Private to the api. */
#ifndef REDLOCK_API_EXAMINE_H
#define REDLOCK_API_EXAMINE_H

#include "api/client.h"

/* Asks on that lane, and logs what it finds. A server that does not answer is none that is told
 * of. */
void examine_server(redlock_client *client, lane *on);

#endif
