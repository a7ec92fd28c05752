/* SPDX-License-Identifier: MIT
 * How do I hold a lock from a libev loop, without any thread? Attach the client to the loop: it
 * acquires, renews and releases between the other events, here the ticks of a timer, for several
 * times the lease. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/libev.h>

struct job {
    struct redlock_ev in_loop;
    struct ev_loop *loop;
    ev_timer timer;
    redlock_lock *lock;
    int ticks;
    redlock_status result;
};

static void end(void *arg, redlock_status status)
{
    struct job *job = arg;
    job->result = status;
    redlock_ev_detach(&job->in_loop); /* the loop has nothing left to do, and ends */
}

static void tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct job *job = timer->data;
    (void)events;
    printf("tick %d: held for %" PRId64 " ms more\n", ++job->ticks,
           redlock_remaining_ms(job->lock));
    if (job->ticks < 8) return;
    ev_timer_stop(loop, timer);
    redlock_status st = redlock_release_async(job->lock, end, job);
    if (st != REDLOCK_OK) end(job, st);
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    struct job *job = arg;
    job->lock = lock;
    if (status == REDLOCK_OK) ev_timer_start(job->loop, &job->timer);
    else end(job, status);
}

int main(int argc, char **argv)
{
    struct job job = {.loop = EV_DEFAULT, .timer.data = &job};
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client) !=
        REDLOCK_OK)
        return 1;
    ev_timer_init(&job.timer, tick, 0, 0.1);
    if (redlock_ev_attach(client, job.loop, &job.in_loop) != REDLOCK_OK) return 1;
    redlock_status st = redlock_acquire_async(client, "example:ev", 10,
                                              REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true),
                                              acquired, &job, NULL);
    if (st != REDLOCK_OK) end(&job, st);
    ev_run(job.loop, 0);
    printf("%s\n", redlock_strerror(job.result));
    redlock_close(client);
    return job.result == REDLOCK_OK ? 0 : 1;
}
