/* SPDX-License-Identifier: MIT
 * How do I hold a lock from a GLib main loop, without any thread? Attach the client to its context:
 * it acquires, renews and releases between the other events, here the ticks of a timeout, for
 * several times the lease. */
#include <inttypes.h>
#include <stdio.h>

#include <redlock/glib.h>

struct job {
    struct redlock_glib in_loop;
    GMainLoop *loop;
    redlock_lock *lock;
    int ticks;
    redlock_status result;
};

static void end(void *arg, redlock_status status)
{
    struct job *job = arg;
    job->result = status;
    g_main_loop_quit(job->loop);
}

static gboolean tick(gpointer arg)
{
    struct job *job = arg;
    printf("tick %d: held for %" PRId64 " ms more\n", ++job->ticks,
           redlock_remaining_ms(job->lock));
    if (job->ticks < 8) return G_SOURCE_CONTINUE;
    redlock_status st = redlock_release_async(job->lock, end, job);
    if (st != REDLOCK_OK) end(job, st);
    return G_SOURCE_REMOVE;
}

static void acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    struct job *job = arg;
    job->lock = lock;
    if (status == REDLOCK_OK) g_timeout_add(100, tick, job);
    else end(job, status);
}

int main(int argc, char **argv)
{
    struct job job = {.loop = g_main_loop_new(NULL, FALSE)};
    redlock_client *client;
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    if (redlock_open(uri, REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL), &client) !=
        REDLOCK_OK)
        return 1;
    if (redlock_glib_attach(client, NULL, &job.in_loop) != REDLOCK_OK) return 1;
    job.result = redlock_acquire_async(client, "example:glib", 12,
                                       REDLOCK_OPTIONS(.ttl_ms = 300, .auto_renew = true), acquired,
                                       &job, NULL);
    if (job.result == REDLOCK_OK) g_main_loop_run(job.loop);
    printf("%s\n", redlock_strerror(job.result));
    redlock_glib_detach(&job.in_loop);
    redlock_close(client);
    g_main_loop_unref(job.loop);
    return job.result == REDLOCK_OK ? 0 : 1;
}
