/* SPDX-License-Identifier: MIT
 * How do I hold a lock from a libuv loop, without any thread? Attach the client to the loop: it
 * acquires, renews and releases between the other events, here the ticks of a timer, for several
 * times the lease. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/libuv.h>

struct job {
    struct redlock_uv in_loop;
    uv_timer_t timer;
    redlock_lock *lock;
    int ticks;
    redlock_status result;
};

static void end(void *arg, redlock_status status)
{
    struct job *job = arg;
    job->result = status;
    redlock_uv_detach(&job->in_loop); /* the loop has nothing left to do, and ends */
}

static void tick(uv_timer_t *timer)
{
    struct job *job = timer->data;
    printf("tick %d: held for %" PRId64 " ms more\n", ++job->ticks,
           redlock_remaining_ms(job->lock));
    if (job->ticks < 8) return;
    uv_close((uv_handle_t *)timer, NULL);
    redlock_status st = redlock_release_async(job->lock, end, job);
    if (st != REDLOCK_OK) end(job, st);
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    struct job *job = arg;
    job->lock = lock;
    if (status == REDLOCK_OK) uv_timer_start(&job->timer, tick, 0, 100);
    else end(job, status);
}

int main(int argc, char **argv)
{
    struct job job = {.timer.data = &job};
    uv_loop_t *loop = uv_default_loop();
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client) !=
        REDLOCK_OK)
        return 1;
    if (redlock_uv_attach(client, loop, &job.in_loop) != REDLOCK_OK ||
        uv_timer_init(loop, &job.timer) != 0)
        return 1;
    redlock_status st = redlock_acquire_async(client, "example:uv", 10,
                                              REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true),
                                              acquired, &job, NULL);
    if (st != REDLOCK_OK) end(&job, st);
    uv_run(loop, UV_RUN_DEFAULT);
    printf("%s\n", redlock_strerror(job.result));
    redlock_close(client);
    return job.result == REDLOCK_OK ? 0 : 1;
}
