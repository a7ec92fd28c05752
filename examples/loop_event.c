/* SPDX-License-Identifier: MIT
 * How do I hold a lock from a libevent base, without any thread? Attach the client to the base: it
 * acquires, renews and releases between the other events, here the ticks of a timer, for several
 * times the lease. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/libevent.h>

struct job {
    struct redlock_event in_loop;
    struct event *timer;
    redlock_lock *lock;
    int ticks;
    redlock_status result;
};

static void end(void *arg, redlock_status status)
{
    struct job *job = arg;
    job->result = status;
    redlock_event_detach(&job->in_loop); /* the base has nothing left to do, and ends */
}

static void tick(evutil_socket_t fd, short events, void *arg)
{
    struct job *job = arg;
    (void)fd, (void)events;
    printf("tick %d: held for %" PRId64 " ms more\n", ++job->ticks,
           redlock_remaining_ms(job->lock));
    if (job->ticks < 8) return;
    event_del(job->timer);
    redlock_status st = redlock_release_async(job->lock, end, job);
    if (st != REDLOCK_OK) end(job, st);
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    struct job *job = arg;
    job->lock = lock;
    if (status == REDLOCK_OK) event_add(job->timer, &(const struct timeval){.tv_usec = 100000});
    else end(job, status);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct job job = {.timer = event_new(base, -1, EV_PERSIST, tick, &job)};
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client) !=
        REDLOCK_OK)
        return 1;
    if (redlock_event_attach(client, base, &job.in_loop) != REDLOCK_OK) return 1;
    redlock_status st = redlock_acquire_async(client, "example:event", 13,
                                              REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true),
                                              acquired, &job, NULL);
    if (st != REDLOCK_OK) end(&job, st);
    event_base_dispatch(base);
    printf("%s\n", redlock_strerror(job.result));
    redlock_close(client);
    event_free(job.timer), event_base_free(base);
    return job.result == REDLOCK_OK ? 0 : 1;
}
