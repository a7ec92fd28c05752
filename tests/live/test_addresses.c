/* SPDX-License-Identifier: MIT
 * A name with two addresses, the first of which is silent: a dead record, or a network without
 * IPv6. Whoever asks for the name is served by the second, and in time. And connections that rested
 * until something on the way forgot them. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#ifdef REDLOCK_WITH_CARES
#include <ares.h>
#endif

#include "live/modes_stage.h"

enum {
    RENEWED_MS = 1500,
    HASTY_MS = 800,
    RENEWALS = 3,
    CROWD = 8,
    AT_ONCE_US = 200 * 1000,
    RESTED_S = 10,
    TIMEOUT_US = 2000 * 1000 /* the default */
};

#define THE_NAME "twofold.test"
#define SILENT "127.0.0.2" /* where a queue is full, so that nothing is answered */

/* ---- The name ---------------------------------------------------------------------------------*/

#ifdef REDLOCK_WITH_CARES

/* Numbers are answered at once, where it is said of which kind they are. */
static void keep_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)status, (void)timeouts;
    *(struct ares_addrinfo **)arg = info;
}

void ares_getaddrinfo(ares_channel channel, const char *host, const char *service,
                      const struct ares_addrinfo_hints *hints, ares_addrinfo_callback answered,
                      void *arg)
{
    struct ares_addrinfo *first, *second;
    void (*real)(ares_channel, const char *, const char *, const struct ares_addrinfo_hints *,
                 ares_addrinfo_callback, void *);
    *(void **)&real = dlsym(RTLD_NEXT, "ares_getaddrinfo");
    (void)host;
    struct ares_addrinfo_hints numeric = *hints;
    numeric.ai_family = AF_INET;
    real(channel, SILENT, service, &numeric, keep_answer, &first);
    real(channel, "127.0.0.1", service, &numeric, keep_answer, &second);
    first->nodes->ai_next = second->nodes;
    second->nodes = NULL;
    ares_freeaddrinfo(second);
    answered(arg, ARES_SUCCESS, 0, first);
}

#else

static int ask_system(const char *host, const char *service, const struct addrinfo *hints,
                      struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(host, service, hints, out);
}

/* The list is one that freeaddrinfo takes: the system's own for the two addresses, put together. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    if (host == NULL || strcmp(host, THE_NAME) != 0) return ask_system(host, service, hints, out);
    if (hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0) return EAI_NONAME;
    struct addrinfo *second;
    int error = ask_system(SILENT, service, hints, out);
    if (error == 0) error = ask_system("127.0.0.1", service, hints, &second);
    if (error == 0) (*out)->ai_next = second;
    return error;
}

#endif

/* ---- The silent one ---------------------------------------------------------------------------*/

typedef struct silence {
    int listener, crowd[CROWD];
} silence;

static struct sockaddr_in silent_at(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, SILENT, &at.sin_addr);
    return at;
}

static silence fall_silent(int port)
{
    silence self;
    struct sockaddr_in at = silent_at(port);
    self.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self.listener, 0), 0);
    for (int i = 0; i < CROWD; i++) {
        self.crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(self.crowd[i], (struct sockaddr *)&at, sizeof at);
    }
    return self;
}

static void speak_again(silence *self)
{
    for (int i = 0; i < CROWD; i++) close(self->crowd[i]);
    close(self->listener);
}

/* ---- The tests --------------------------------------------------------------------------------*/

typedef struct twofold {
    stage *the;
    silence first;
    redlock_client *client;
} twofold;

static twofold begin(void **state, int64_t timeout_ms)
{
    char uri[64];
    twofold self = {.the = *state};
    int port = proxy_tcp_port(self.the->proxy);
    self.first = fall_silent(port);
    snprintf(uri, sizeof uri, "redis://" THE_NAME ":%d", port);
    self.client = stage_open(self.the, uri,
                             REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, LOGGED(self.the)));
    return self;
}

static void a_try_in_a_hurry_is_served_by_the_second(void **state)
{
    twofold self = begin(state, HASTY_MS);
    EXPECT(attempt(self.client, EXCLUSIVE()), REDLOCK_OK);
    speak_again(&self.first);
}

static void a_renewed_lock_is_kept(void **state)
{
    twofold self = begin(state, 0);
    redlock_lock *lock =
        take(self.client, "r",
             REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(RENEWED_MS), .auto_renew = true));
    renewals those = {self.client, RENEWALS};
    eventually(renewals_were_made, &those);
    assert_true(redlock_is_held(lock));
    assert_int_equal(stats_of(self.client).lost, 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    speak_again(&self.first);
}

static void what_was_found_once_is_found_at_once(void **state)
{
    twofold self = begin(state, 0);
    EXPECT(attempt(self.client, EXCLUSIVE()), REDLOCK_OK);
    proxy_cut(self.the->proxy);
    stall from = stall_begin();
    EXPECT(attempt(self.client, EXCLUSIVE()), REDLOCK_OK);
    ENDED(&from, 0, AT_ONCE_US);
    speak_again(&self.first);
}

/* What is between us and the server has forgotten the connections: nothing comes through. */
static void forgotten_connections_cost_half_of_the_time(void **state)
{
    stage *the = *state;
    redlock_client *client = stage_open_through(the);
    EXPECT(attempt(client, EXCLUSIVE()), REDLOCK_OK);
    let_pass_ms((RESTED_S + 1) * 1000);
    proxy_keep_requests(the->proxy, false);
    stall from = stall_begin();
    EXPECT(attempt(client, EXCLUSIVE()), REDLOCK_OK);
    ENDED(&from, 0, TIMEOUT_US * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_try_in_a_hurry_is_served_by_the_second),
        ON_STAGE(a_renewed_lock_is_kept),
        ON_STAGE(what_was_found_once_is_found_at_once),
        ON_STAGE(forgotten_connections_cost_half_of_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
