/* SPDX-License-Identifier: MIT
 * The examination of a server. */
#include "api/examine.h"

#include <stdio.h>
#include <string.h>

#include "api/act.h"

/* In the order of lua/examine.lua. */
static const char *const rights[] = {
    "subscribe",        "publish", "pubsub|numsub", "time",  "zadd", "zcard",
    "zcount",           "zrange",  "zrangebyscore", "zrank", "zrem", "zremrangebyscore",
    "zrevrangebyscore", "zscore",  "pexpire",       "pttl"};

enum { RIGHTS = sizeof rights / sizeof *rights };

static bool examination_is_asked(act *self, question *about)
{
    *about = (question){.script = SCRIPT_EXAMINE,
                        .key = self->key,
                        .key_length = self->key_length,
                        .inbox = self->client->keeper.lane.channel,
                        .inbox_length = strlen(self->client->keeper.lane.channel)};
    return true;
}

static void warn_of_lack(const event_log *log, const char *words)
{
    log_line(log, REDLOCK_LOG_WARNING,
             "the user lacks rights that locks need: %s (the least rights: docs/protocol.md)",
             words);
}

static void warn_of_rights(const event_log *log, int64_t missing)
{
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < RIGHTS; i++)
        if ((missing & INT64_C(1) << i) != 0 && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s+%s", used > 0 ? " " : "",
                                     rights[i]);
    warn_of_lack(log, list);
}

static bool examination_is_judged(act *self, const answer *from)
{
    const event_log *log = &self->client->log;
    self->status = REDLOCK_OK;
    if (from->value[0] != 0) warn_of_rights(log, from->value[0]);
    if (from->value[1] != 0)
        log_line(log, REDLOCK_LOG_WARNING,
                 "the server may evict locks: its maxmemory-policy is not noeviction");
    return false;
}

static const act_kind act_examine = {.begin = examination_is_asked, .judge = examination_is_judged};

void examine_server(redlock_client *client, lane *on)
{
    act self;
    redlock_detail words = {""};
    if (act_about_name(&self, &act_examine, client, "examined", 8) != REDLOCK_OK) return;
    limits within = limits_of_one(client);
    self.detail = &words;
    if (act_wait_on(&self, on, &within) == REDLOCK_ERR_DENIED)
        warn_of_lack(&client->log, words.text);
    act_forget_name(&self);
}
