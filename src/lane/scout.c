/* SPDX-License-Identifier: MIT
 * CLUSTER SLOTS, and its answer. */
#include "lane/scout.h"

static void came_back(call *back, const reply *from, int64_t now_us)
{
    scout *self = (scout *)back;
    (void)now_us;
    codec_reader_allow(self->on->reader, CODEC_ELEMENTS_MAX);
    cluster_told(self->of, self->on->to, from);
}

void scout_ask(scout *self, conn *on, const route *by, int64_t now_us)
{
    bool may_ask = by->cluster != NULL && on->state == CONN_OPEN;
    if (!may_ask || !cluster_is_to_be_asked(by->cluster, now_us)) return;
    command cmd;
    command_begin(&cmd, "CLUSTER");
    command_add_text(&cmd, "SLOTS");
    self->of = by->cluster;
    self->on = on;
    self->call.answered = came_back;
    self->call.deadline_us = now_us + on->config->connect_timeout_us;
    codec_reader_allow(on->reader, CLUSTER_TABLE_MOST);
    if (!conn_submit(on, &self->call, &cmd, now_us)) cluster_told(self->of, on->to, NULL);
}
