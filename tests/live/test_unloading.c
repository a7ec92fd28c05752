/* SPDX-License-Identifier: MIT
 * A program that loads the library by itself, and unloads it while a look-up of a name has not come
 * back: its thread finds its code where it left it. With c-ares there is no such thread. */
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#ifdef REDLOCK_WITH_CARES
#include <ares.h>
#endif

#include "live/stage.h"

enum { HASTY_MS = 100 };

/* ---- A resolver that can be held up -----------------------------------------------------------*/

#ifdef REDLOCK_WITH_CARES

static int silent; /* questions that are never answered */

void ares_getaddrinfo(ares_channel channel, const char *host, const char *service,
                      const struct ares_addrinfo_hints *hints, ares_addrinfo_callback answered,
                      void *arg)
{
    (void)channel, (void)host, (void)service, (void)hints, (void)answered, (void)arg;
    silent++;
}

#else

static sem_t gate;

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (hints != NULL && (hints->ai_flags & AI_NUMERICHOST) == 0) sem_wait(&gate);
    return real(host, service, hints, out);
}

#endif

/* ---- The library, by hand ---------------------------------------------------------------------*/

typedef redlock_status open_fn(const char *, const redlock_client_options *, redlock_client **);
typedef redlock_status acquire_fn(redlock_client *, const char *, const redlock_options *,
                                  redlock_lock **);
typedef redlock_status close_fn(redlock_client *);

static void *find(void *library, const char *function)
{
    void *found = dlsym(library, function);
    if (found == NULL) fail_msg("%s: %s", function, dlerror());
    return found;
}

static void look_up_in_vain(void *library)
{
    open_fn *open_client;
    acquire_fn *acquire;
    close_fn *close_client;
    redlock_client *client;
    redlock_lock *lock;
    *(void **)&open_client = find(library, "redlock_open");
    *(void **)&acquire = find(library, "redlock_acquire");
    *(void **)&close_client = find(library, "redlock_close");
    EXPECT(
        open_client("redis://localhost", REDLOCK_CLIENT_OPTIONS(.timeout_ms = HASTY_MS), &client),
        REDLOCK_OK);
    assert_int_not_equal(acquire(client, "r", NULL, &lock), REDLOCK_OK);
    EXPECT(close_client(client), REDLOCK_OK);
}

static int count_threads(void)
{
    int count = 0;
    DIR *all = opendir("/proc/self/task");
    assert_non_null(all);
    for (struct dirent *each; (each = readdir(all)) != NULL;) count += each->d_name[0] != '.';
    closedir(all);
    return count;
}

static void *load(void)
{
    void *library = dlopen(REDLOCK_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) fail_msg("%s", dlerror());
    return library;
}

#ifdef REDLOCK_WITH_CARES

static void nothing_of_a_lookup_outlives_its_client(void **state)
{
    (void)state;
    void *library = load();
    look_up_in_vain(library);
    assert_true(silent > 0);
    assert_int_equal(count_threads(), 1);
    assert_int_equal(dlclose(library), 0);
}

#else

static bool is_alone(void *arg)
{
    (void)arg;
    return count_threads() == 1;
}

static void a_lookup_outlives_its_library_without_harm(void **state)
{
    (void)state;
    sem_init(&gate, 0, 0);
    void *library = load();
    look_up_in_vain(library);
    assert_int_equal(dlclose(library), 0);
    assert_true(count_threads() > 1);
    while (count_threads() > 1) {
        sem_post(&gate);
        patience_pause();
    }
    eventually(is_alone, NULL);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef REDLOCK_WITH_CARES
        cmocka_unit_test(nothing_of_a_lookup_outlives_its_client),
#else
        cmocka_unit_test(a_lookup_outlives_its_library_without_harm),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
