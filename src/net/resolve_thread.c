/* SPDX-License-Identifier: MIT
 * Names to addresses by getaddrinfo, which may block for long and cannot be interrupted, and so has
 * a thread of its own.
 *
 *     owner   lookup_begin ----------- poll(lookup_fd) --- lookup_poll --- lookup_end
 *                  \                       /                                   |
 *     thread        getaddrinfo --- is_done, wake    --- its reference ends    its reference ends
 *
 * The last of the two to end its reference frees the look-up. It may outlive the client, whose
 * memory functions may then be gone: it is the one thing that is made with malloc. */
#include "net/resolve.h"

#ifndef REDLOCK_WITH_CARES

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "host/thread.h"
#include "host/wake.h"
#include "net/resolve_internal.h"

/* Name service modules are known to need more than musl's default. */
enum { STACK_SIZE = 1 << 20 };

struct lookup {
    atomic_int references;
    atomic_bool is_done; /* what is below it is written before, and read after */
    wake answered;
    int error; /* of getaddrinfo */
    address_list found;
    char service[SERVICE_SIZE];
    char host[];
};

static void end_reference(lookup *self)
{
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) > 1) return;
    wake_close(&self->answered);
    free(self);
}

static void *run(void *arg)
{
    lookup *self = arg;
    pthread_setname_np(pthread_self(), "redlock-resolve");
    self->error = resolve_by_system(&self->found, self->host, self->service, 0);
    atomic_store_explicit(&self->is_done, true, memory_order_release);
    wake_raise(&self->answered);
    end_reference(self);
    return NULL;
}

/* Zero, or why not. */
static int start_detached(lookup *self)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) return error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_t thread;
    error = thread_start(&thread, &attributes, run, self);
    pthread_attr_destroy(&attributes);
    return error;
}

lookup *lookup_begin(const char *host, uint16_t port)
{
    size_t host_size = strlen(host) + 1;
    lookup *self = calloc(1, sizeof *self + host_size);
    if (self == NULL) return NULL;
    memcpy(self->host, host, host_size);
    service_write(self->service, port);
    atomic_init(&self->references, 2);
    atomic_init(&self->is_done, false);

    int error = wake_open(&self->answered) ? start_detached(self) : errno;
    if (error == 0) return self;
    wake_close(&self->answered);
    free(self);
    errno = error;
    return NULL;
}

int lookup_fd(const lookup *self) { return self->answered.fd; }

bool lookup_poll(lookup *self, address_list *out, const char **error)
{
    if (!atomic_load_explicit(&self->is_done, memory_order_acquire)) return false;
    *out = self->found;
    *error = self->error == 0 ? NULL : gai_strerror(self->error);
    return true;
}

void lookup_end(lookup *self)
{
    if (self != NULL) end_reference(self);
}

#endif
