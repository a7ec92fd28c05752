/* SPDX-License-Identifier: MIT
 * Out of memory at every allocation of every public function, on every host: a status, no crash, no
 * leak, and nothing left on the server. Each trial is run with its n-th allocation refused, and
 * with all from the n-th on, for n = 1, 2, ... until one run meets no refusal. The last line has
 * the figures. */
#include "live/allocation_steps.h"

/* ---- All of them ----*/

static const trial trials[] = {
    {"open", "redlock_open ", NULL, opens, REDLOCK_OK, false},
    {"open, connected", "redlock_open ", NULL, opens_connected, REDLOCK_OK, false},
    {"open, with a token", "redlock_open redlock_credentials_set ", NULL, opens_with_a_token,
     REDLOCK_OK, false},
    {"open, by name", "redlock_open ", has_a_tcp_server, opens_by_name, REDLOCK_OK, false},
#ifdef REDLOCK_WITH_TLS
    {"open, over TLS", "redlock_open ", has_a_tls_server, opens_over_tls, REDLOCK_OK, false},
#endif
    {"close, holding", "redlock_close ", holds_one_impatiently, closes, REDLOCK_OK, false},
    {"close, waiting", "redlock_close ", waits_meanwhile, closes_meanwhile, REDLOCK_OK, false},
    {"canceller",
     "redlock_canceller_open redlock_cancel redlock_canceller_reset redlock_canceller_close ", NULL,
     opens_a_canceller, REDLOCK_OK, false},
    {"acquire", "redlock_acquire ", has_client, acquires, REDLOCK_OK, false},
    {"acquire bytes", "redlock_acquire_bytes ", has_client, acquires_bytes, REDLOCK_OK, false},
    {"acquire, waiting in vain", "redlock_acquire ", has_client, waits_in_vain, REDLOCK_TIMED_OUT,
     false},
    {"acquire, handed over", "redlock_acquire ", another_has_it, is_handed_over, REDLOCK_OK, false},
    {"acquire, cancelled", "redlock_acquire ", has_a_canceller, is_cancelled, REDLOCK_CANCELLED,
     false},
    {"acquire again, upgraded", "redlock_acquire ", shares_one, enters_again, REDLOCK_OK, false},
    {"acquire again, extended", "redlock_acquire ", shares_one, enters_again_for_longer, REDLOCK_OK,
     false},
    {"release", "redlock_release ", holds_one_unconnected, releases_plainly, REDLOCK_OK, false},
    {"release and clear", "redlock_release_and_clear ", holds_one_unconnected, releases, REDLOCK_OK,
     false},
    {"automatic release", "redlock_auto_release ", holds_one_unconnected, releases_itself,
     REDLOCK_OK, false},
    {"scope", "redlock_scope_begin redlock_scope_end ", has_client, runs_a_scope, REDLOCK_OK,
     false},
    {"extend", "redlock_extend ", holds_one_unconnected, extends, REDLOCK_OK, false},
    {"downgrade", "redlock_downgrade ", holds_one_unconnected, downgrades, REDLOCK_OK, false},
    {"upgrade", "redlock_upgrade ", shares_one, upgrades, REDLOCK_OK, false},
    {"renewal", "", is_about_to_renew, renews, REDLOCK_OK, false},
    {"acquire async", "redlock_acquire_async ", has_client, acquires_later, REDLOCK_OK, false},
    {"acquire async, waiting in vain", "redlock_acquire_async ", has_client, waits_later,
     REDLOCK_TIMED_OUT, false},
    {"acquire async, cancelled", "redlock_acquire_async redlock_cancel_async ", has_client,
     is_cancelled_later, REDLOCK_CANCELLED, false},
    {"acquire async again, upgraded", "redlock_acquire_async ", shares_one, upgrades_later,
     REDLOCK_OK, false},
    {"extend async", "redlock_extend_async ", holds_one_unconnected, extends_later, REDLOCK_OK,
     false},
    {"downgrade async", "redlock_downgrade_async ", holds_one_unconnected, downgrades_later,
     REDLOCK_OK, false},
    {"upgrade async", "redlock_upgrade_async ", shares_one, converts_later, REDLOCK_OK, false},
    {"release async", "redlock_release_async ", holds_one_unconnected, releases_later, REDLOCK_OK,
     false},
    {"process", "redlock_process ", holds_one_unconnected, processes, REDLOCK_OK, false},
    {"acquire set", "redlock_acquire_set ", has_client, acquires_a_set, REDLOCK_OK, false},
    {"release set", "redlock_release_set ", holds_a_set, releases_a_set, REDLOCK_OK, false},
    {"acquire set async", "redlock_acquire_set_async ", has_client, acquires_a_set_later,
     REDLOCK_OK, false},
    {"release set async", "redlock_release_set_async ", holds_a_set, releases_a_set_later,
     REDLOCK_OK, false},
    {"inspect async", "redlock_inspect_async ", many_share_another, inspects_later, REDLOCK_OK,
     false},
    {"force release async", "redlock_force_release_async ", has_client, forces_later, REDLOCK_OK,
     false},
    {"inspect", "redlock_inspect redlock_inspection_free ", many_share_another, inspects,
     REDLOCK_OK, false},
    {"force release", "redlock_force_release ", has_client, forces, REDLOCK_OK, false},
    {"looking",
     "redlock_set_lock redlock_stats_read redlock_adopt redlock_is_held redlock_remaining_ms "
     "redlock_fence "
     "redlock_lock_mode redlock_name redlock_fd redlock_timeout_ms redlock_version "
     "redlock_strerror "
     "redlock_status_name redlock_why_lost redlock_loss_text redlock_why_failed ",
     holds_a_set_at_rest, looks, REDLOCK_OK, true},
};

enum { TRIALS = sizeof trials / sizeof *trials };

static bool is_tried(const char *function)
{
    char word[80];
    snprintf(word, sizeof word, "%s ", function);
    for (size_t i = 0; i < TRIALS; i++) {
        const char *at = strstr(trials[i].calls, word);
        if (at != NULL && (at == trials[i].calls || at[-1] == ' ')) return true;
    }
    return false;
}

static char *read_header(void)
{
    enum { HEADER_MOST = 1 << 17 };
    static char text[HEADER_MOST], path[4096];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *tests = strstr(path, "tests/live/");
    assert_non_null(tests);
    snprintf(tests, sizeof path - (size_t)(tests - path), "include/redlock/redlock.h");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    assert_true(feof(file));
    fclose(file);
    text[length] = '\0';
    return text;
}

static int functions_tried;

/* A declaration is REDLOCK_API, words, the function's name, and a parenthesis. */
static void every_function_of_the_header_is_tried(void **state)
{
    char name[64];
    (void)state;
    functions_tried = 0;
    for (char *at = strstr(read_header(), "\nREDLOCK_API "); at != NULL;
         at = strstr(at, "\nREDLOCK_API ")) {
        char *end = strchr(++at, '(');
        assert_non_null(end);
        char *begin = end;
        while (begin[-1] == '_' || (begin[-1] >= 'a' && begin[-1] <= 'z')) begin--;
        snprintf(name, sizeof name, "%.*s", (int)(end - begin), begin);
        if (!is_tried(name)) fail_msg("%s is in no trial", name);
        functions_tried++;
    }
    assert_true(functions_tried > 30);
}

int main(void)
{
    struct CMUnitTest tests[TRIALS + 1] = {cmocka_unit_test(every_function_of_the_header_is_tried)};
    for (size_t i = 0; i < TRIALS; i++)
        tests[i + 1] = (struct CMUnitTest){trials[i].name, survives, NULL, NULL,
                                           (void *)(uintptr_t)&trials[i]};
    starve_hiredis();
    int failed = cmocka_run_group_tests_name("live allocation", tests, NULL, NULL);
#ifdef REDLOCK_WITH_TLS
    authority_close(certifier);
#endif
    printf("calls=%d allocations_failed=%ld leaks=%ld without_status=%ld\n", functions_tried,
           counted.allocations_failed, counted.leaks, counted.without_status);
    fflush(stdout); /* before a sanitizer has its say */
    return failed;
}
