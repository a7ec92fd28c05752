/* SPDX-License-Identifier: MIT
 * How do I let three in at a time, and no more? Hold the lock in shared mode with three permits.
 * The permit of a process that crashes comes back when its lease ends. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <redlock/redlock.h>

enum { PERMITS = 3, WORKERS = 8, JOBS = 20 };

struct pool {
    redlock_client *client;
    _Atomic int busy, busiest, done;
};

/* Stands for the licence, the slow backend, the disk that bears three at a time. */
static void use_the_resource(struct pool *pool)
{
    int now = ++pool->busy, most = pool->busiest;
    while (now > most && !atomic_compare_exchange_weak(&pool->busiest, &most, now)) continue;
    poll(NULL, 0, 1);
    pool->done++;
    pool->busy--;
}

static void *work(void *arg)
{
    struct pool *pool = arg;
    for (int i = 0; i < JOBS; i++) {
        redlock_status st;
        REDLOCK_WITH (pool->client, "example:semaphore", &st, (int *)NULL, .mode = REDLOCK_SHARED,
                      .permits = PERMITS, .wait_ms = 10000) {
            use_the_resource(pool);
        }
        if (st != REDLOCK_OK) fprintf(stderr, "no permit: %s\n", redlock_strerror(st));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "redis://localhost:6379";
    struct pool pool = {0};
    pthread_t workers[WORKERS];
    int started = 0;
    if (redlock_open(uri, NULL, &pool.client) != REDLOCK_OK) return 1;
    while (started < WORKERS && pthread_create(&workers[started], NULL, work, &pool) == 0)
        started++;
    for (int i = 0; i < started; i++) pthread_join(workers[i], NULL);
    redlock_close(pool.client);
    printf("%d jobs done, at most %d at a time\n", pool.done, pool.busiest);
    return pool.done == WORKERS * JOBS && pool.busiest <= PERMITS ? 0 : 1;
}
