/* SPDX-License-Identifier: MIT
 * The server's side of the simulation. Rule: one command at a time, in the order of arrival. */
#include "sim/server/node.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/machine/machine.h"
#include "sim/server/interpreter.h"
#include "sim/trace.h"
#include "sim/world/events.h"

static struct {
    keyspace data, replica;
    const node_witness *witness;
    enum load_manner load;
    bool has_script[SCRIPT_COUNT];
    bool is_up;
    int64_t clock_us;  /* at instant 0 */
    int64_t script_us; /* when the latest script was run */
    int64_t frozen_until_us, full_until_us, read_only_until_us, loading_until_us;
    int64_t troubled_until_us, refused_until_us;
    int64_t matched_until_us, crowded_until_us;
    bool runs_again;
} node;

/* The replica of a split address. */
static struct {
    keyspace data;
    bool has_script[SCRIPT_COUNT];
    int64_t split_until_us, lag_us, skew_us;
    int64_t copied_us;
} far;

static resp answer;

void node_begin(int64_t clock_us, enum load_manner load, const node_witness *witness)
{
    node.witness = witness;
    node.load = load;
    node.clock_us = clock_us;
    node.script_us = 0;
    node.is_up = true;
    node.frozen_until_us = node.full_until_us = node.read_only_until_us = node.loading_until_us = 0;
    node.troubled_until_us = node.refused_until_us = node.matched_until_us = node.crowded_until_us =
        0;
    far.split_until_us = 0;
    memset(node.has_script, 0, sizeof node.has_script);
    keyspace_empty(&node.data);
    keyspace_empty(&node.replica);
}

bool node_is_up(void) { return node.is_up; }
bool node_runs_again(void) { return node.runs_again; }
int64_t node_frozen_until_us(void) { return node.frozen_until_us; }
int64_t node_clock_us(void) { return node.clock_us + now_us(); }
int64_t node_troubled_until_us(void) { return node.is_up ? node.troubled_until_us : now_us(); }

keyspace *node_data(void)
{
    node.data.time_us = node_clock_us();
    return &node.data;
}

int64_t node_refused_until_us(void) { return node.is_up ? node.refused_until_us : now_us(); }

/* ---- Publishing ------------------------------------------------------------------------------ */

static bool listens(const cable *self, words channel)
{
    return self->is_subscribed && self->channel_length == channel.length &&
           memcmp(self->channel, channel.at, channel.length) == 0;
}

static int64_t count_subscribers(words channel, bool is_far)
{
    int64_t count = 0;
    for (int i = 0; i < network_count(); i++)
        count += network_cable(i)->is_far == is_far && listens(network_cable(i), channel);
    return count;
}

int64_t node_subscribers(words channel) { return count_subscribers(channel, false); }
static int64_t far_subscribers(words channel) { return count_subscribers(channel, true); }

static int64_t publish(words channel, words message)
{
    static resp told;
    told.length = 0;
    resp_add(&told, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%.*s\r\n$%zu\r\n%.*s\r\n", channel.length,
             (int)channel.length, channel.at, message.length, (int)message.length, message.at);
    for (int i = 0; i < network_count(); i++)
        if (listens(network_cable(i), channel))
            cable_answer(network_cable(i), told.bytes, told.length);
    int64_t receivers = node_subscribers(channel);
    trace("node: PUBLISH %.*s to %lld", (int)message.length, message.at, (long long)receivers);
    node.witness->told(message, receivers);
    return receivers + (now_us() < node.matched_until_us);
}

/* What is refused there comes first in every script. */
static int64_t publish_far(words channel, words message)
{
    (void)channel;
    node.witness->told((words){"", 0}, 0);
    trace("replica: PUBLISH %.*s", (int)message.length, message.at);
    return 0;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static bool is_word(words given, const char *word)
{
    return given.length == strlen(word) && memcmp(given.at, word, given.length) == 0;
}

static int script_by_digest(words digest)
{
    for (int i = 0; i < SCRIPT_COUNT; i++)
        if (digest.length == 40 && memcmp(digest.at, scripts[i].sha1, 40) == 0) return i;
    return -1;
}

static int script_by_source(words source)
{
    for (int i = 0; i < SCRIPT_COUNT; i++)
        if (source.length == scripts[i].source_length &&
            memcmp(source.at, scripts[i].source, source.length) == 0)
            return i;
    return -1;
}

/* The answer without the ends of its lines. */
static const char *answer_line(void)
{
    static char line[sizeof answer.bytes];
    size_t length = 0;
    for (size_t i = 0; i < answer.length; i++)
        if (answer.bytes[i] != '\r')
            line[length++] = answer.bytes[i] == '\n' ? ' ' : answer.bytes[i];
    line[length] = '\0';
    return line;
}

static void trace_script(const cable *from, enum script_id id, int argc, const words *argv,
                         bool is_stray)
{
    char text[600];
    size_t at = 0;
    for (int i = 0; i < argc && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, " [%.*s]", (int)argv[i].length,
                               argv[i].at);
    trace("%s: %d%s %s%s -> %s", from->is_far ? "replica" : "node", from->machine,
          is_stray ? " (stray)" : "", scripts[id].name, text, answer_line());
}

static long answered_code(void)
{
    const char *first = memchr(answer.bytes, ':', answer.length);
    return answer.bytes[0] != '*' || first == NULL ? INT_MIN : strtol(first + 1, NULL, 10);
}

/* No two scripts run within one microsecond. */
static void take_time(void)
{
    if (node_clock_us() == node.script_us) node.clock_us++;
    node.script_us = node_clock_us();
}

/* Those that were left out are empty. */
static const words *pad(words out[CALL_MOST], int argc, const words *argv)
{
    for (int i = 0; i < CALL_MOST; i++) out[i] = i < argc ? argv[i] : (words){"", 0};
    return out;
}

/* ---- The replica of a split address ---- */

static bool is_split(void) { return now_us() < far.split_until_us; }

bool node_leads_elsewhere(dice *chance) { return is_split() && dice_below(chance, 2) == 0; }

/* It has what was written until `lag_us` ago: what was written then is known before the next write,
 * or when it is asked. */
static void replicate_late(void)
{
    if (!is_split() || now_us() - far.copied_us < far.lag_us) return;
    far.copied_us = now_us();
    far.data = node.data;
}

static void run_script_far(cable *from, int id, int argc, const words *argv)
{
    if (now_us() - node.script_us > far.lag_us) far.data = node.data;
    far.data.time_us = node_clock_us() + far.skew_us;
    script_host host = {.data = &far.data,
                        .is_read_only = true,
                        .publish = publish_far,
                        .subscribers = far_subscribers};
    interpreter_run(&host, (enum script_id)id, argv[3], argc - 4, argv + 4, &answer);
    if (is_traced) trace_script(from, (enum script_id)id, argc - 4, argv + 4, false);
    words padded[CALL_MOST];
    node.witness->far((enum script_id)id, argv[3], pad(padded, argc - 4, argv + 4),
                      answered_code());
}

/* ---- Scripts ---- */

static void run_script(cable *from, int id, int argc, const words *argv, bool is_repeated)
{
    bool is_stray = is_repeated || from->is_closed || from->is_cut;
    node.runs_again = is_repeated;
    replicate_late();
    take_time();
    node.witness->before(argv[3]);
    script_host host = {.data = node_data(),
                        .is_out_of_memory = now_us() < node.full_until_us,
                        .is_read_only = now_us() < node.read_only_until_us,
                        .publish = publish,
                        .subscribers = node_subscribers};
    interpreter_run(&host, (enum script_id)id, argv[3], argc - 4, argv + 4, &answer);
    if (is_traced) trace_script(from, (enum script_id)id, argc - 4, argv + 4, is_stray);
    words padded[CALL_MOST];
    node.witness->after((enum script_id)id, argv[3], pad(padded, argc - 4, argv + 4),
                        answered_code(), from, is_stray);
}

static int script_of(int argc, const words *argv)
{
    if (argc < 4) return -1;
    return is_word(argv[0], "EVALSHA") ? script_by_digest(argv[1]) : script_by_source(argv[1]);
}

static void evaluate(cable *from, int argc, const words *argv, bool is_repeated)
{
    int id = script_of(argc, argv);
    bool *has_script = from->is_far ? far.has_script : node.has_script;
    if (id >= 0 && !is_word(argv[0], "EVALSHA")) has_script[id] = true;
    if (id >= 0 && !has_script[id])
        trace("node: %d %s, which is unknown", from->machine, scripts[id].name);
    if (id < 0) resp_add(&answer, "-ERR this is no script of ours\r\n");
    else if (!has_script[id])
        resp_add(&answer, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    else if (from->is_far) run_script_far(from, id, argc, argv);
    else run_script(from, id, argc, argv, is_repeated);
}

static void load(cable *from, words source)
{
    int id = script_by_source(source);
    trace("node: %d SCRIPT LOAD %s", from->machine, id < 0 ? "of none of ours" : scripts[id].name);
    if (node.load == LOAD_ENDS_THE_CONNECTION) {
        cable_kill(from);
    } else if (node.load == LOAD_IS_REFUSED) {
        resp_add(&answer,
                 "-NOPERM this user has no permissions to run the 'script|load' command\r\n");
    } else if (id < 0) {
        resp_add(&answer, "-ERR this is no script of ours\r\n");
    } else {
        node.has_script[id] = true;
        resp_add(&answer, "$40\r\n%s\r\n", scripts[id].sha1);
    }
}

static void subscribe(cable *from, words channel)
{
    if (channel.length >= CHANNEL_MOST) {
        resp_add(&answer, "-ERR the simulator takes shorter channels\r\n");
        return;
    }
    from->is_subscribed = true;
    from->subscribed_us = now_us();
    from->channel_length = channel.length;
    memcpy(from->channel, channel.at, channel.length);
    network_moved(from->machine);
    resp_add(&answer, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%.*s\r\n:1\r\n", channel.length,
             (int)channel.length, channel.at);
    trace("%s: %d SUBSCRIBE %.*s", from->is_far ? "replica" : "node", from->machine,
          (int)channel.length, channel.at);
}

static bool loads(int argc, const words *argv)
{
    return argc == 3 && is_word(argv[0], "SCRIPT") && is_word(argv[1], "LOAD");
}

static bool evaluates(const words *argv)
{
    return is_word(argv[0], "EVALSHA") || is_word(argv[0], "EVAL");
}

static void execute(cable *from, int argc, const words *argv)
{
    answer.length = 0;
    if (is_word(argv[0], "SUBSCRIBE") && argc == 2) subscribe(from, argv[1]);
    else if (now_us() < node.loading_until_us)
        resp_add(&answer, "-LOADING Redis is loading the dataset in memory\r\n");
    else if (evaluates(argv)) evaluate(from, argc, argv, false);
    else if (loads(argc, argv)) load(from, argv[2]);
    else resp_add(&answer, "-ERR unknown command\r\n");
    if (answer.length > 0) cable_answer(from, answer.bytes, answer.length);
}

/* ---- RESP ------------------------------------------------------------------------------------ */

/* Reads "<mark><number>\r\n"; returns what is behind it, or NULL while it is not whole. */
static const char *read_number(const char *at, const char *end, long *number)
{
    const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (line_end == NULL) return NULL;
    *number = strtol(at + 1, NULL, 10);
    return line_end + 1;
}

/* The next whole command; returns what is behind it, or NULL. */
static const char *read_command(const char *at, const char *end, int *argc, words argv[CALL_MOST])
{
    long count, length;
    at = read_number(at, end, &count);
    if (at == NULL) return NULL;
    if (count < 1 || count > CALL_MOST) abort();
    for (*argc = 0; *argc < count; ++*argc) {
        at = read_number(at, end, &length);
        if (at == NULL || end - at < length + 2) return NULL;
        argv[*argc] = (words){at, (size_t)length};
        at += length + 2;
    }
    return at;
}

static void append(cable *from, const char *bytes, size_t length)
{
    size_t whole = from->request_length + length;
    if (whole > from->request_size) {
        from->request_size = 2 * whole;
        char *larger = arena_take(from->request_size);
        if (from->request_length > 0) memcpy(larger, from->request, from->request_length);
        from->request = larger;
    }
    memcpy(from->request + from->request_length, bytes, length);
    from->request_length = whole;
}

/* As a request that somebody on the way sends again, though it was answered: this answer is for
 * nobody. */
static void execute_again(void *subject, void *bytes, size_t length)
{
    words argv[CALL_MOST];
    int argc;
    bool is_refused = !node.is_up || now_us() < node.frozen_until_us ||
                      now_us() < node.loading_until_us;
    if (is_refused || read_command(bytes, (char *)bytes + length, &argc, argv) == NULL) return;
    answer.length = 0;
    evaluate(subject, argc, argv, true);
}

static void repeat(cable *from, const char *at, size_t length)
{
    int64_t after_us = network_repeats_after_us(from);
    if (after_us == SIM_NEVER) return;
    event_at(now_us() + after_us, execute_again, from, memcpy(arena_take(length), at, length),
             length);
}

/* A script may be put off, with all that is behind it. */
static bool is_put_off(cable *from, int argc, const words *argv)
{
    int id = evaluates(argv) && !from->is_far ? script_of(argc, argv) : -1;
    int64_t until_us = id < 0 ? 0 : node.witness->puts_off((enum script_id)id, from);
    if (until_us <= now_us()) return false;
    trace("node: %d %s is put off until %lld", from->machine, scripts[id].name,
          (long long)until_us);
    cable_put_off(from, until_us, false);
    return true;
}

/* As a server that has too many: it says so before it reads a byte. */
static void turn_away(cable *from)
{
    static const char words_of_it[] = "-ERR max number of clients reached\r\n";
    trace("node: %d is turned away", from->machine);
    cable_answer(from, words_of_it, sizeof words_of_it - 1);
    cable_kill(from);
}

/* Executes the whole commands; returns what is left of the bytes. */
static size_t execute_all(cable *from, const char *at, size_t length)
{
    words argv[CALL_MOST];
    int argc;
    const char *end = at + length, *next;
    while (from->is_served && (next = read_command(at, end, &argc, argv)) != NULL) {
        if (is_put_off(from, argc, argv)) {
            cable_hold_up(from, at, (size_t)(end - at));
            return 0;
        }
        execute(from, argc, argv);
        if (evaluates(argv) && answered_code() != INT_MIN) repeat(from, at, (size_t)(next - at));
        at = next;
    }
    return (size_t)(end - at);
}

void node_receive(cable *from, const char *bytes, size_t length)
{
    if (from->is_unwelcome) {
        if (from->is_served) turn_away(from);
        return;
    }
    if (from->request_length == 0) {
        size_t left = execute_all(from, bytes, length);
        if (left > 0) append(from, bytes + length - left, left);
        return;
    }
    append(from, bytes, length);
    size_t left = execute_all(from, from->request, from->request_length);
    memmove(from->request, from->request + from->request_length - left, left);
    from->request_length = left;
}

/* ---- Faults ---------------------------------------------------------------------------------- */

static void raise_to(int64_t *instant_us, int64_t least_us)
{
    if (*instant_us < least_us) *instant_us = least_us;
}

static void be_troubled(int64_t until_us)
{
    raise_to(&node.troubled_until_us, until_us);
    raise_to(&node.refused_until_us, until_us);
}

void node_go_down(void) { node.is_up = false; }

void node_come_up(enum node_return with)
{
    if (with == RETURN_EMPTY) keyspace_empty(&node.data);
    if (with == RETURN_STALE) node.data = node.replica;
    memset(node.has_script, 0, sizeof node.has_script);
    node.is_up = true;
    be_troubled(now_us());
}

void node_replicate(void) { node.replica = node.data; }
void node_forget_scripts(void) { memset(node.has_script, 0, sizeof node.has_script); }
void node_step_clock(int64_t by_us) { node.clock_us += by_us; }

void node_freeze(int64_t until_us)
{
    if (node.frozen_until_us > now_us()) return;
    node.frozen_until_us = until_us;
    be_troubled(until_us);
}

void node_refuse_memory(int64_t until_us)
{
    node.full_until_us = until_us;
    raise_to(&node.troubled_until_us, until_us);
}

void node_refuse_writes(int64_t until_us)
{
    node.read_only_until_us = until_us;
    be_troubled(until_us);
}

bool node_has_room(void) { return now_us() >= node.crowded_until_us; }

void node_turn_away(int64_t until_us)
{
    node.crowded_until_us = until_us;
    be_troubled(until_us);
}

void node_load(int64_t until_us)
{
    node.loading_until_us = until_us;
    be_troubled(until_us);
}

void node_split(int64_t until_us, int64_t lag_us, int64_t skew_us)
{
    far.split_until_us = until_us;
    far.lag_us = lag_us;
    far.skew_us = skew_us;
    far.copied_us = now_us();
    far.data = *node_data();
    memset(far.has_script, 0, sizeof far.has_script);
}

void node_match_all(int64_t until_us) { node.matched_until_us = until_us; }
