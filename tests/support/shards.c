/* SPDX-License-Identifier: MIT
 * The cluster fixture. A primary that starts keeps its cluster down for two seconds, which is a
 * constant of the server: it may have been replaced meanwhile. A replica does not. So each primary
 * starts as a replica, of a node that exists in its nodes.conf only and owns its slots, takes that
 * node's place, and forgets it. The replicas come when that is done. Nobody has to be introduced.
 *
 * Rule: every wait has a deadline; a missed one fails the test and shows a server's log. */
#include "support/shards.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOTS = 16384, SERVERS_MAX = 32, ID_SIZE = 41, WORDS_SIZE = 1024, KEYS_AT_ONCE = 100 };
enum { MOVE_TIMEOUT_MS = 5000, FAILOVER_TIMEOUT_MS = 5500, ELECTION_LEAST_MS = 2001 };

typedef struct member {
    server *server;
    char id[ID_SIZE];
} member;

struct shards {
    int primaries, size;
    int launched, promoted; /* so many, in their order, in the beginning */
    bool has_forgotten;     /* the stand-ins */
    bool has_shards;        /* the servers' nodes.conf names them */
    member members[SERVERS_MAX];
    char stand_ins[SERVERS_MAX][ID_SIZE]; /* the nodes that do not exist, one for each primary */
    char shards[SERVERS_MAX][ID_SIZE];
    char uri[SERVERS_MAX * 16 + 32];
    int64_t may_vote_ms[SERVERS_MAX], may_stand_ms[SERVERS_MAX]; /* about whom, and who */
    signed char destination[SLOTS]; /* of a slot on its way: the server's number, and 1 */
};

static int first_primary_of(const shards *self, int index) { return index % self->primaries; }

/* ---- What a server says of the nodes ----------------------------------------------------------*/

/* A line of CLUSTER NODES. */
typedef struct node_line {
    char id[ID_SIZE], flags[64], primary[ID_SIZE], link[16];
    long long epoch;
    const char *slots; /* until the end of the line */
} node_line;

static node_line read_line(const char *text)
{
    node_line line = {.slots = text};
    int length = 0;
    int words = sscanf(text, "%40s %*s %63s %40s %*s %*s %lld %15s%n", line.id, line.flags,
                       line.primary, &line.epoch, line.link, &length);
    assert_int_equal(words, 5);
    line.slots += length;
    return line;
}

static const char *next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end != NULL ? end + 1 : text + strlen(text);
}

static redisReply *nodes_of(const shards *self, int index)
{
    redisReply *nodes = server_command(self->members[index].server, "CLUSTER NODES");
    if (nodes->type != REDIS_REPLY_STRING)
        server_give_up(self->members[index].server, "CLUSTER NODES: %s", nodes->str);
    return nodes;
}

static bool is_of_itself(const node_line *line) { return strncmp(line->flags, "myself,", 7) == 0; }
static bool is_primary(const node_line *line) { return strstr(line->flags, "master") != NULL; }

/* What is on its way stands in brackets. */
static bool has_slot(const node_line *line, unsigned slot)
{
    const char *end = next_line(line->slots);
    for (const char *at = line->slots; at < end && *at == ' '; at += strcspn(at, " \n")) {
        unsigned from = 0, to = 0;
        int words = sscanf(++at, "%u-%u", &from, &to);
        if (words >= 1 && from <= slot && slot <= (words == 1 ? from : to)) return true;
    }
    return false;
}

static int member_of(const shards *self, const char *id)
{
    for (int i = 0; i < self->size; i++)
        if (strcmp(self->members[i].id, id) == 0) return i;
    return -1;
}

/* What one says of another, or of itself. */
typedef struct opinion {
    bool is_primary, has_slots, has_slot; /* any; the one that was asked for */
    int follows;                          /* the primary of a replica; -1: nobody */
    long long epoch;
} opinion;

static opinion opinion_of(const shards *self, int asked, int index, unsigned slot)
{
    opinion is = {.follows = -1};
    redisReply *nodes = nodes_of(self, asked);
    for (const char *at = nodes->str; *at != '\0'; at = next_line(at)) {
        node_line line = read_line(at);
        if (strcmp(line.id, self->members[index].id) != 0) continue;
        is = (opinion){.is_primary = is_primary(&line),
                       .has_slots = *line.slots == ' ',
                       .has_slot = has_slot(&line, slot),
                       .follows = member_of(self, line.primary),
                       .epoch = line.epoch};
    }
    freeReplyObject(nodes);
    return is;
}

static void await(const shards *self, int index, bool (*is_so)(const shards *, int),
                  const char *what)
{
    for (patience left = patience_begin(); !is_so(self, index); patience_pause()) {
        if (!patience_is_over(&left)) continue;
        print_error("%s", nodes_of(self, index)->str);
        server_give_up(self->members[index].server, "never came to pass: %s", what);
    }
}

int shards_owner(const shards *self, unsigned slot)
{
    int owner = -1;
    long long latest = -1;
    for (int i = 0; i < self->size; i++) {
        if (!server_is_awake(self->members[i].server)) continue;
        opinion own = opinion_of(self, i, i, slot);
        if (!own.is_primary || !own.has_slot || own.epoch <= latest) continue;
        latest = own.epoch;
        owner = i;
    }
    return owner;
}

bool shards_is_primary(const shards *self, int index)
{
    return server_is_awake(self->members[index].server) &&
           opinion_of(self, index, index, 0).is_primary;
}

/* A replica that was never linked to its primary does not stand for it. */
static bool is_linked(const shards *self, int replica)
{
    return server_says(self->members[replica].server, "INFO replication", "master_link_status:up");
}

/* ---- As it is meant to begin ------------------------------------------------------------------*/

/* Replicas are launched when their primaries are all there. */
static bool is_line_as_meant(const shards *self, const node_line *line)
{
    int index = member_of(self, line->id);
    const char *flags = line->flags + (is_of_itself(line) ? strlen("myself,") : 0);
    if (index < 0 || index >= self->launched || strcmp(line->link, "connected") != 0) return false;
    if (strcmp(flags, index < self->promoted ? "master" : "slave") != 0) return false;
    return index < self->primaries ||
           strcmp(line->primary, self->members[first_primary_of(self, index)].id) == 0;
}

static bool are_nodes_as_meant(const shards *self, int viewer)
{
    int lines = 0, right = 0;
    redisReply *nodes = nodes_of(self, viewer);
    for (const char *at = nodes->str; *at != '\0'; at = next_line(at), lines++) {
        node_line line = read_line(at);
        right += is_line_as_meant(self, &line);
    }
    freeReplyObject(nodes);
    return right == self->launched && (right == lines || !self->has_forgotten);
}

static bool is_as_meant(const shards *self, int viewer)
{
    return are_nodes_as_meant(self, viewer) &&
           server_says(self->members[viewer].server, "CLUSTER INFO", "cluster_state:ok") &&
           (viewer < self->primaries || is_linked(self, viewer));
}

static void await_all(const shards *self)
{
    for (int i = 0; i < self->launched; i++) await(self, i, is_as_meant, "it is as it was meant");
}

/* ---- nodes.conf -------------------------------------------------------------------------------*/

static void write_node(const shards *self, FILE *file, const char *id, const char *address,
                       int shard)
{
    fprintf(file, "%s %s", id, address);
    if (self->has_shards) fprintf(file, ",,shard-id=%s", self->shards[shard]);
}

static void write_slots(const shards *self, FILE *file, int primary)
{
    fprintf(file, " connected %d-%d\n", SLOTS * primary / self->primaries,
            SLOTS * (primary + 1) / self->primaries - 1);
}

static void write_member(const shards *self, FILE *file, int index, bool is_itself)
{
    char address[48];
    const member *it = &self->members[index];
    int primary = first_primary_of(self, index);
    const char *self_or_not = is_itself ? "myself," : "";
    snprintf(address, sizeof address, "127.0.0.1:%d@%d", server_tcp_port(it->server),
             server_bus_port(it->server));
    write_node(self, file, it->id, address, primary);
    if (index < self->promoted) {
        fprintf(file, " %smaster - 0 0 %d", self_or_not, self->primaries + primary + 1);
        write_slots(self, file, primary);
    } else {
        fprintf(file, " %sslave %s 0 0 0 connected\n", self_or_not,
                self->promoted == 0 ? self->stand_ins[primary] : self->members[primary].id);
    }
}

/* The truth of the moment: before the primaries were promoted, or after it. */
static void write_nodes(const shards *self, int index)
{
    char path[128];
    snprintf(path, sizeof path, "%s/nodes.conf", server_directory(self->members[index].server));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < self->primaries && self->promoted == 0; i++) {
        write_node(self, file, self->stand_ins[i], ":0@0", i);
        fprintf(file, " master,noaddr - 0 0 %d", i + 1);
        write_slots(self, file, i);
    }
    for (int i = 0; i < self->size; i++) write_member(self, file, i, i == index);
    fprintf(file, "vars currentEpoch %d lastVoteEpoch 0\n", self->primaries + self->promoted);
    assert_int_equal(fclose(file), 0);
}

/* ---- Starting ---------------------------------------------------------------------------------*/

/* Redis has known shards since 7.2. */
static bool program_has_shards(void)
{
    char command[512], line[256] = "";
    snprintf(command, sizeof command, "'%s' --version", server_program());
    FILE *from = popen(command, "r");
    assert_non_null(from);
    char *told = fgets(line, sizeof line, from);
    pclose(from);
    return told != NULL && strstr(line, " v=7.0.") == NULL;
}

/* No other cluster on this machine has the same, since a port may change hands. */
static void make_id(char *out, char kind, int index)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(out, ID_SIZE, "%02x%06x%016llx%08x%08x", (unsigned)kind, (unsigned)index,
             (unsigned long long)now.tv_sec, (unsigned)now.tv_nsec, (unsigned)getpid());
}

static void prepare(shards *self, const char *arguments)
{
    char words[WORDS_SIZE];
    snprintf(words, sizeof words,
             "--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 5000 "
             "--repl-diskless-sync-delay 0 --repl-ping-replica-period 1 %s",
             arguments != NULL ? arguments : "");
    self->has_shards = program_has_shards();
    for (int i = 0; i < self->size; i++) {
        self->members[i].server = server_prepare_tcp(words);
        make_id(self->members[i].id, 'a', i);
        make_id(self->stand_ins[i], 'b', i);
        make_id(self->shards[i], 'c', i);
    }
}

static void launch(shards *self, int until)
{
    for (int i = self->launched; i < until; i++) write_nodes(self, i);
    for (; self->launched < until; self->launched++)
        server_launch(self->members[self->launched].server);
    await_all(self);
}

/* One after the other, so that each knows of the epoch that the one before it has taken. */
static void promote(shards *self)
{
    while (self->promoted < self->primaries) {
        server_order(self->members[self->promoted++].server, "CLUSTER FAILOVER TAKEOVER");
        await_all(self);
    }
}

static void forget_stand_ins(shards *self)
{
    for (int i = 0; i < self->primaries; i++)
        for (int j = 0; j < self->primaries; j++)
            server_order(self->members[i].server, "CLUSTER FORGET %s", self->stand_ins[j]);
    self->has_forgotten = true;
}

static void write_uri(shards *self)
{
    int length = snprintf(self->uri, sizeof self->uri, "redis+cluster://");
    for (int i = 0; i < self->primaries; i++)
        length += snprintf(self->uri + length, sizeof self->uri - (size_t)length, "%s127.0.0.1:%d",
                           i > 0 ? "," : "", server_tcp_port(self->members[i].server));
}

shards *shards_start(int primaries, int replicas_each, const char *arguments)
{
    shards *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->primaries = primaries;
    self->size = primaries * (1 + replicas_each);
    assert_in_range(self->size, 1, SERVERS_MAX);
    prepare(self, arguments);
    write_uri(self);
    launch(self, primaries);
    promote(self);
    forget_stand_ins(self);
    launch(self, self->size);
    return self;
}

void shards_stop(shards *self)
{
    if (self == NULL) return;
    for (int i = 0; i < self->size; i++) server_stop(self->members[i].server);
    free(self);
}

const char *shards_uri(const shards *self) { return self->uri; }
int shards_size(const shards *self) { return self->size; }

server *shards_server(const shards *self, int index)
{
    assert_in_range(index, 0, self->size - 1);
    return self->members[index].server;
}

/* ---- Moving slots -----------------------------------------------------------------------------*/

static int source_of(const shards *self, unsigned slot)
{
    int owner = shards_owner(self, slot);
    if (owner < 0) server_give_up(self->members[0].server, "slot %u has no owner", slot);
    return owner;
}

static int destination_of(const shards *self, unsigned slot)
{
    assert_int_not_equal(self->destination[slot], 0);
    return self->destination[slot] - 1;
}

void shards_begin_move(shards *self, unsigned slot, int to)
{
    int source = source_of(self, slot);
    server_order(self->members[to].server, "CLUSTER SETSLOT %u IMPORTING %s", slot,
                 self->members[source].id);
    server_order(self->members[source].server, "CLUSTER SETSLOT %u MIGRATING %s", slot,
                 self->members[to].id);
    self->destination[slot] = (signed char)(to + 1);
}

void shards_move_keys(shards *self, unsigned slot)
{
    server *from = self->members[source_of(self, slot)].server;
    server *to = self->members[destination_of(self, slot)].server;
    size_t keys;
    do {
        redisReply *some = server_command(from, "CLUSTER GETKEYSINSLOT %u %d", slot, KEYS_AT_ONCE);
        if (some->type != REDIS_REPLY_ARRAY) server_give_up(from, "keys of a slot: %s", some->str);
        keys = some->elements;
        for (size_t i = 0; i < keys; i++)
            server_order(from, "MIGRATE 127.0.0.1 %d %b 0 %d", server_tcp_port(to),
                         some->element[i]->str, some->element[i]->len, MOVE_TIMEOUT_MS);
        freeReplyObject(some);
    } while (keys > 0);
}

/* First whoever has the keys, so that the slot has an owner all the time. */
void shards_end_move(shards *self, unsigned slot)
{
    int source = source_of(self, slot), to = destination_of(self, slot);
    const int first[] = {to, source};
    for (int i = 0; i < self->size + 2; i++) {
        int index = i < 2 ? first[i] : i - 2;
        if (i >= 2 && (index == to || index == source || !shards_is_primary(self, index))) continue;
        server_order(self->members[index].server, "CLUSTER SETSLOT %u NODE %s", slot,
                     self->members[to].id);
    }
    self->destination[slot] = 0;
}

void shards_move(shards *self, unsigned slot, int to)
{
    shards_begin_move(self, slot, to);
    shards_move_keys(self, slot);
    shards_end_move(self, slot);
}

/* ---- Failing over -----------------------------------------------------------------------------*/

static bool do_all_say(const shards *self, int index, bool (*is_right)(opinion its, opinion own))
{
    opinion own = opinion_of(self, index, index, 0);
    for (int i = 0; i < self->size; i++) {
        if (!server_is_awake(self->members[i].server)) continue;
        if (!is_right(opinion_of(self, i, index, 0), own)) return false;
    }
    return true;
}

static bool is_same_replica(opinion its, opinion own)
{
    return !its.is_primary && its.follows >= 0 && its.follows == own.follows;
}

/* A primary that was replaced is taken for one, without slots, until it is heard of. */
static bool is_working_primary(opinion its, opinion own)
{
    (void)own;
    return its.is_primary && its.has_slots;
}

static bool is_known_as_replica(const shards *self, int index)
{
    return do_all_say(self, index, is_same_replica) && is_linked(self, index);
}

static bool is_known_as_primary(const shards *self, int index)
{
    return do_all_say(self, index, is_working_primary);
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t node_timeout_ms(server *of)
{
    redisReply *told = server_command(of, "CONFIG GET cluster-node-timeout");
    int64_t timeout_ms = strtoll(told->element[1]->str, NULL, 10);
    freeReplyObject(told);
    return timeout_ms;
}

static int64_t larger_of(int64_t one, int64_t other) { return one > other ? one : other; }

/* Nobody votes twice about one primary within two node timeouts, and no replica stands twice within
 * four, or 4 s. */
static void await_election(const shards *self, int replica, int primary)
{
    int64_t from_ms = larger_of(self->may_vote_ms[primary], self->may_stand_ms[replica]);
    int64_t pause_ms = from_ms - clock_ms();
    if (pause_ms > 0) let_pass_ms(pause_ms);
}

static void note_election(shards *self, int replica, int primary)
{
    int64_t twice_ms = 2 * node_timeout_ms(self->members[replica].server) + 1;
    self->may_vote_ms[primary] = clock_ms() + twice_ms;
    self->may_stand_ms[replica] = clock_ms() + 2 * larger_of(twice_ms, ELECTION_LEAST_MS);
}

/* Nobody votes for a node that it takes for a primary, either. What was not done in time is given
 * up by the server, such as after an election that this fixture has not seen. */
void shards_fail_over(shards *self, int replica)
{
    server *heir = self->members[replica].server;
    int64_t again_ms = 0;
    await(self, replica, is_known_as_replica, "all take it for a replica");
    int primary = opinion_of(self, replica, replica, 0).follows;
    await_election(self, replica, primary);
    for (patience left = patience_begin(); !is_known_as_primary(self, replica); patience_pause()) {
        if (patience_is_over(&left)) server_give_up(heir, "it did not become a primary");
        if (clock_ms() < again_ms) continue;
        again_ms = clock_ms() + FAILOVER_TIMEOUT_MS;
        freeReplyObject(server_command(heir, "CLUSTER FAILOVER"));
    }
    note_election(self, replica, primary);
    await(self, primary, is_linked, "whom it replaced follows it");
}
