/* SPDX-License-Identifier: MIT
 * Every order of events of one hold, within bounds: breadth first, so that the way to a fault is a
 * shortest one.
 *
 *     explore [--deep]                        the configurations below, and each rule broken once
 *     explore --bounds C O L X F D [--break RULE]   one configuration: so many calls, others,
 * leases that pass, closes, forces, losses of data; RULE as it is printed
 *
 * A line of key=value figures for each. Fails where a fault is found or memory has no room for all
 * states, and where a broken rule is not noticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/search.h"

typedef struct configuration {
    const char *name;
    bounds small, deep;
} configuration;

/*               calls, others, lapses, closes, forces, losses */
static const configuration configurations[] = {
    {"calls", {2, 0, 0, 0, 0, 0}, {4, 0, 0, 1, 0, 0}},
    {"owners", {1, 2, 0, 0, 0, 0}, {3, 2, 0, 1, 0, 0}},
    {"leases", {1, 0, 1, 1, 1, 0}, {2, 1, 2, 1, 1, 0}},
    {"losses", {1, 0, 0, 0, 0, 1}, {1, 1, 1, 1, 0, 1}},
};
enum { CONFIGURATIONS = sizeof configurations / sizeof *configurations };
enum { ROOM_SMALL = 2000000, ROOM_DEEP = 60000000 };

static const char *const rule_names[] = {
    [RULE_CONVERSIONS_NAME_A_FENCE] = "conversions-name-a-fence",
    [RULE_A_DOWNGRADE_OF_SHARED_MINTS] = "a-downgrade-of-shared-mints",
    [RULE_AN_UPGRADE_OF_EXCLUSIVE_MINTS] = "an-upgrade-of-exclusive-mints",
    [RULE_A_DEADLOCK_MINTS] = "a-deadlock-mints",
    [RULE_WHAT_IS_SENT_IS_IN_DOUBT] = "what-is-sent-is-in-doubt",
    [RULE_THE_NEWEST_VERSION_IS_KNOWN] = "the-newest-version-is-known",
    [RULE_A_LATE_ANSWER_MEANS_NOTHING] = "a-late-answer-means-nothing",
    [RULE_NO_ANSWER_BRINGS_BELIEF_BACK] = "no-answer-brings-belief-back",
    [RULE_AN_UNDO_BURIES] = "an-undo-buries",
    [RULE_A_RELEASE_BURIES] = "a-release-buries",
    [RULE_GONE_AND_OWED_IS_UNDONE] = "gone-and-owed-is-undone",
    [RULE_A_BUSY_AFTER_A_CUT_IS_OWED] = "a-busy-after-a-cut-is-owed",
    [RULE_WHAT_IS_UNANSWERED_IS_UNDONE] = "what-is-unanswered-is-undone",
    [RULE_OK_IS_FOR_THE_HELD] = "ok-is-for-the-held",
    [RULE_A_CALL_PINS] = "a-call-pins",
    [RULE_LOST_DATA_IS_NOTICED] = "lost-data-is-noticed",
    [RULE_KIND_IS_KNOWN_WHEN_IT_IS_SETTLED] = "kind-is-known-when-it-is-settled",
};

uint32_t broken_rules;

static bool is_sound(const char *name, const bounds *within, size_t room)
{
    findings seen = search(within, room);
    printf("explore=%s calls=%d others=%d lapses=%d closes=%d forces=%d losses=%d states=%zu "
           "transitions=%zu "
           "complete=%d faults=%zu\n",
           name, within->calls, within->others, within->lapses, within->closes, within->forces,
           within->losses, seen.states, seen.transitions, seen.is_complete, seen.faults);
    fputs(seen.way, stdout);
    return seen.faults == 0 && seen.is_complete;
}

static bool is_noticed(int rule)
{
    findings seen = {0};
    broken_rules = UINT32_C(1) << rule;
    for (int i = 0; i < CONFIGURATIONS && seen.faults == 0; i++)
        seen = search(&configurations[i].small, ROOM_SMALL);
    broken_rules = 0;
    printf("broken=%s noticed=%zu states=%zu: %s\n", rule_names[rule], seen.faults, seen.states,
           seen.faults > 0 ? seen.what : "nothing");
    return seen.faults > 0;
}

static int walk_all(bool is_deep)
{
    int failures = 0;
    for (int i = 0; i < CONFIGURATIONS; i++) {
        const configuration *c = &configurations[i];
        failures +=
            !is_sound(c->name, is_deep ? &c->deep : &c->small, is_deep ? ROOM_DEEP : ROOM_SMALL);
    }
    for (int rule = 0; rule < RULES; rule++) failures += !is_noticed(rule);
    return failures > 0;
}

static int usage(void)
{
    fputs("usage: explore [--deep] | explore --bounds CALLS OTHERS LAPSES CLOSES FORCES LOSSES "
          "[--break RULE]\n",
          stderr);
    return 2;
}

static int walk_one(int argc, char **argv)
{
    uint8_t most[6];
    for (int i = 0; i < 6; i++) most[i] = (uint8_t)strtoul(argv[2 + i], NULL, 10);
    if (argc == 10 && strcmp(argv[8], "--break") == 0) {
        int rule = 0;
        while (rule < RULES && strcmp(rule_names[rule], argv[9]) != 0) rule++;
        if (rule == RULES) return usage();
        broken_rules = UINT32_C(1) << rule;
    } else if (argc != 8) {
        return usage();
    }
    const bounds within = {most[0], most[1], most[2], most[3], most[4], most[5]};
    return is_sound("chosen", &within, ROOM_DEEP) ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 1) return walk_all(false);
    if (argc == 2 && strcmp(argv[1], "--deep") == 0) return walk_all(true);
    return argc >= 8 && strcmp(argv[1], "--bounds") == 0 ? walk_one(argc, argv) : usage();
}
