/* SPDX-License-Identifier: MIT
 * The server fixture: a child process that never outlives the test, in a directory that goes with
 * it. Rule: every wait has a deadline, and a missed deadline fails the test and shows the server's
 * own log. */
#include "support/server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWER_TIMEOUT_S = 30, ARGUMENTS_MAX = 64, ARGUMENTS_SIZE = 2048 };
enum { CLOCK_SIZE = 2 * sizeof(int64_t) }; /* the two numbers of clock_shim.c */

/* While the socket is there, nobody else is given the port. */
typedef struct held_port {
    int number; /* 0: none */
    int fd;
} held_port;

struct server {
    server *next; /* of the servers that are not yet stopped */
    pid_t owner;  /* the process that started it */
    pid_t pid;    /* 0 when it does not run */
    bool is_frozen;
    held_port port, bus;
    redisContext *connection;
    char directory[64];
    char socket[80];
    char log[80];
    char uri[96];
    char tcp_uri[48];
    char arguments[ARGUMENTS_SIZE];
    volatile int64_t *clock; /* what clock_shim.c reads; NULL: the server has the machine's */
};

static server *running;

/* ---- Failing ----------------------------------------------------------------------------------*/

static void show_log(const server *self)
{
    char text[4096];
    FILE *log = fopen(self->log, "r");
    if (log == NULL) return;
    size_t length;
    while ((length = fread(text, 1, sizeof text - 1, log)) > 0) {
        text[length] = '\0';
        print_error("%s", text);
    }
    fclose(log);
}

void server_give_up(server *self, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("server in %s: %s\n", self->directory, text);
    show_log(self);
    _fail(__FILE__, __LINE__);
    abort(); /* _fail jumps back into cmocka's runner */
}

/* ---- Starting ---------------------------------------------------------------------------------*/

static bool is_on_path(const char *program)
{
    char path[4096], candidate[4352];
    const char *from = getenv("PATH");
    snprintf(path, sizeof path, "%s", from != NULL ? from : "/usr/bin:/bin");
    char *rest = path;
    for (char *folder; (folder = strsep(&rest, ":")) != NULL;) {
        snprintf(candidate, sizeof candidate, "%s/%s", folder, program);
        if (access(candidate, X_OK) == 0) return true;
    }
    return false;
}

const char *server_program(void)
{
    const char *chosen = getenv("REDLOCK_TEST_SERVER");
    if (chosen != NULL && *chosen != '\0') return chosen;
    return is_on_path("redis-server") || !is_on_path("valkey-server") ? "redis-server"
                                                                      : "valkey-server";
}

/* The kernel's choice. A socket that is bound, but does not listen, keeps it from everyone but a
 * server, which sets SO_REUSEADDR, too. */
static held_port hold_port(server *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, length) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        server_give_up(self, "no free port: %s", strerror(errno));
    return (held_port){ntohs(at.sin_port), fd};
}

static void let_go(const held_port *held)
{
    if (held->number != 0) close(held->fd);
}

/* The numbers of the ports, as words. */
typedef struct port_words {
    char port[16], bus[16];
} port_words;

static const char *meaning(const char *word, const port_words *ports)
{
    if (strcmp(word, "{port}") == 0) return ports->port;
    return strcmp(word, "{bus}") == 0 ? ports->bus : word;
}

/* Splits `text` in place. */
static int add_arguments(const char **argv, int argc, char *text, const port_words *ports)
{
    for (char *word; (word = strsep(&text, " ")) != NULL && argc < ARGUMENTS_MAX;) {
        if (*word != '\0') argv[argc++] = meaning(word, ports);
    }
    return argc;
}

static void clock_path(const server *self, char *out, size_t size)
{
    snprintf(out, size, "%s/clock", self->directory);
}

/* The sanitizers' own libraries want to be the first: a preloaded one comes to the server alone. */
static void take_clock(const server *self)
{
    char path[96];
    if (self->clock == NULL) return;
    clock_path(self, path, sizeof path);
    setenv("REDLOCK_TEST_CLOCK", path, 1);
    setenv("LD_PRELOAD", REDLOCK_TEST_CLOCK_SHIM, 1);
}

__attribute__((noreturn)) static void become_server(const server *self, pid_t parent)
{
    char words[ARGUMENTS_SIZE];
    port_words ports;
    snprintf(ports.port, sizeof ports.port, "%d", self->port.number);
    snprintf(ports.bus, sizeof ports.bus, "%d", self->bus.number);
    memcpy(words, self->arguments, sizeof words);
    const char *argv[ARGUMENTS_MAX + 1] = {server_program(),
                                           "--unixsocket",
                                           self->socket,
                                           "--port",
                                           ports.port,
                                           "--bind",
                                           "127.0.0.1",
                                           "--save",
                                           "",
                                           "--appendonly",
                                           "no",
                                           "--daemonize",
                                           "no",
                                           "--dir",
                                           self->directory};
    int argc = 0;
    while (argv[argc] != NULL) argc++;
    argv[add_arguments(argv, argc, words, &ports)] = NULL;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0); /* the parent died before the line above */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int log = open(self->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    take_clock(self);
    execvp(argv[0], (char **)(void *)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static bool has_ended(server *self)
{
    if (waitpid(self->pid, NULL, WNOHANG) != self->pid) return false;
    self->pid = 0;
    return true;
}

static void disconnect(server *self)
{
    if (self->connection != NULL) redisFree(self->connection);
    self->connection = NULL;
}

static bool connect_once(server *self)
{
    struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    disconnect(self);
    self->connection = redisConnectUnixWithTimeout(self->socket, timeout);
    if (self->connection != NULL && self->connection->err == 0 &&
        redisSetTimeout(self->connection, timeout) == REDIS_OK)
        return true;
    disconnect(self);
    return false;
}

/* A server that asks for a password, or still loads, is there too: any answer will do. */
static bool answers_ping(server *self)
{
    if (self->connection == NULL && !connect_once(self)) return false;
    redisReply *answer = redisCommand(self->connection, "PING");
    if (answer == NULL) disconnect(self);
    else freeReplyObject(answer);
    return answer != NULL;
}

static void await(server *self)
{
    for (patience left = patience_begin(); !patience_is_over(&left); patience_pause()) {
        if (answers_ping(self)) return;
        if (has_ended(self)) server_give_up(self, "it ended at once");
    }
    server_give_up(self, "no answer to PING in time");
}

void server_launch(server *self)
{
    pid_t parent = getpid();
    unlink(self->socket); /* what a killed server left */
    /* A fork would make every page of a large test fault once more, in whatever it measures. The
     * environment is not to be changed in shared memory, though. */
    self->pid = self->clock == NULL ? vfork() : fork();
    if (self->pid < 0) server_give_up(self, "fork: %s", strerror(errno));
    if (self->pid == 0) become_server(self, parent);
    await(self);
}

/* ---- Stopping ---------------------------------------------------------------------------------*/

void server_kill(server *self)
{
    disconnect(self);
    if (self->pid == 0) return;
    kill(self->pid, SIGKILL);
    while (waitpid(self->pid, NULL, 0) < 0 && errno == EINTR) continue;
    self->pid = 0;
    self->is_frozen = false;
}

static void forget(server *self)
{
    server **at = &running;
    while (*at != NULL && *at != self) at = &(*at)->next;
    if (*at != NULL) *at = self->next;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

void server_stop(server *self)
{
    if (self == NULL) return;
    server_kill(self);
    forget(self);
    let_go(&self->port);
    let_go(&self->bus);
    nftw(self->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    if (self->clock != NULL) munmap((void *)(uintptr_t)self->clock, CLOCK_SIZE);
    free(self);
}

/* A failed test never reaches its server_stop. A forked child of the test is not to stop it
 * either. */
static void stop_all(void)
{
    while (running != NULL && running->owner == getpid()) server_stop(running);
}

/* ---- The fixture ------------------------------------------------------------------------------*/

/* Not below a long $TMPDIR: a socket's path has 107 bytes at the most. */
static void choose_directory(server *self)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || strlen(parent) > 40) parent = "/tmp";
    snprintf(self->directory, sizeof self->directory, "%s/redlock-test-XXXXXX", parent);
}

static server *create(const char *arguments)
{
    static bool is_registered;
    server *self = calloc(1, sizeof *self);
    assert_non_null(self);
    choose_directory(self);
    assert_non_null(mkdtemp(self->directory));
    snprintf(self->socket, sizeof self->socket, "%s/redis.sock", self->directory);
    snprintf(self->log, sizeof self->log, "%s/server.log", self->directory);
    snprintf(self->uri, sizeof self->uri, "unix://%s", self->socket);
    snprintf(self->arguments, sizeof self->arguments, "%s", arguments != NULL ? arguments : "");
    self->owner = getpid();
    self->next = running;
    running = self;
    if (!is_registered) is_registered = atexit(stop_all) == 0;
    if (strstr(self->arguments, "{bus}") != NULL) self->bus = hold_port(self);
    return self;
}

server *server_start(const char *arguments)
{
    server *self = create(arguments);
    server_launch(self);
    return self;
}

static void make_clock(server *self)
{
    char path[96];
    clock_path(self, path, sizeof path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, CLOCK_SIZE) != 0)
        server_give_up(self, "no clock: %s", strerror(errno));
    void *mapped = mmap(NULL, CLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) server_give_up(self, "no clock: %s", strerror(errno));
    self->clock = mapped;
}

server *server_start_with_clock(const char *arguments)
{
    server *self = create(arguments);
    make_clock(self);
    server_launch(self);
    return self;
}

void server_shift_clock(server *self, int64_t ms)
{
    assert_non_null((const void *)(uintptr_t)self->clock);
    self->clock[0] += ms * 1000;
    if (self->clock[1] != 0) self->clock[1] += ms * 1000;
}

void server_stop_clock(server *self, int64_t at_us)
{
    assert_non_null((const void *)(uintptr_t)self->clock);
    self->clock[1] = at_us;
}

server *server_prepare_tcp(const char *arguments)
{
    server *self = create(arguments);
    self->port = hold_port(self);
    snprintf(self->tcp_uri, sizeof self->tcp_uri, "redis://127.0.0.1:%d", self->port.number);
    return self;
}

server *server_start_tcp(const char *arguments)
{
    server *self = server_prepare_tcp(arguments);
    server_launch(self);
    return self;
}

void server_restart(server *self)
{
    server_kill(self);
    server_launch(self);
}

void server_freeze(server *self)
{
    int status;
    if (!server_is_awake(self)) server_give_up(self, "it is to be frozen, and is not awake");
    if (kill(self->pid, SIGSTOP) != 0 || waitpid(self->pid, &status, WUNTRACED) != self->pid ||
        !WIFSTOPPED(status))
        server_give_up(self, "it did not stop");
    self->is_frozen = true;
}

void server_thaw(server *self)
{
    int status;
    if (!self->is_frozen) server_give_up(self, "it is to be thawed, and is not frozen");
    if (kill(self->pid, SIGCONT) != 0 || waitpid(self->pid, &status, WCONTINUED) != self->pid ||
        !WIFCONTINUED(status))
        server_give_up(self, "it did not continue");
    self->is_frozen = false;
}

const char *server_directory(const server *self) { return self->directory; }
const char *server_uri(const server *self) { return self->uri; }
const char *server_tcp_uri(const server *self) { return self->tcp_uri; }
int server_tcp_port(const server *self) { return self->port.number; }
int server_bus_port(const server *self) { return self->bus.number; }
const char *server_socket(const server *self) { return self->socket; }
int server_pid(const server *self) { return self->pid; }
bool server_is_awake(const server *self) { return self->pid != 0 && !self->is_frozen; }

/* ---- Asking it --------------------------------------------------------------------------------*/

/* hiredis itself would raise SIGPIPE on a connection that the server closed. */
static bool send_bytes(const server *self, const char *bytes, size_t length)
{
    for (ssize_t sent; length > 0; bytes += sent, length -= (size_t)sent)
        if ((sent = send(self->connection->fd, bytes, length, MSG_NOSIGNAL)) < 0) return false;
    return true;
}

/* NULL when the connection ended. */
static redisReply *exchange(server *self, const char *bytes, size_t length)
{
    void *answer = NULL;
    if (self->connection == NULL && !connect_once(self)) server_give_up(self, "cannot connect");
    if (send_bytes(self, bytes, length) && redisGetReply(self->connection, &answer) == REDIS_OK)
        return answer;
    disconnect(self);
    return NULL;
}

/* A second try on a new connection is for a test that killed the fixture's own. */
static redisReply *ask(server *self, const char *format, va_list arguments)
{
    char *bytes = NULL;
    int length = redisvFormatCommand(&bytes, format, arguments);
    if (length < 0) server_give_up(self, "malformed: %s", format);
    redisReply *answer = exchange(self, bytes, (size_t)length);
    if (answer == NULL) answer = exchange(self, bytes, (size_t)length);
    redisFreeCommand(bytes);
    if (answer == NULL) server_give_up(self, "no answer to '%s'", format);
    return answer;
}

redisReply *server_command(server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *answer = ask(self, format, arguments);
    va_end(arguments);
    return answer;
}

void server_order(server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *answer = ask(self, format, arguments);
    va_end(arguments);
    if (answer->type == REDIS_REPLY_ERROR)
        server_give_up(self, "'%s' answered %s", format, answer->str);
    freeReplyObject(answer);
}

static long long number_of(server *self, const char *format, const redisReply *answer)
{
    switch (answer->type) {
    case REDIS_REPLY_INTEGER: return answer->integer;
    case REDIS_REPLY_ARRAY: return (long long)answer->elements;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS: return (long long)answer->len;
    case REDIS_REPLY_NIL: return 0;
    case REDIS_REPLY_ERROR: server_give_up(self, "'%s' answered %s", format, answer->str);
    default: server_give_up(self, "'%s' answered no number", format);
    }
}

long long server_number(server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *answer = ask(self, format, arguments);
    va_end(arguments);
    long long number = number_of(self, format, answer);
    freeReplyObject(answer);
    return number;
}

bool server_says(server *self, const char *command, const char *text)
{
    redisReply *answer = server_command(self, command);
    bool says = answer->type == REDIS_REPLY_STRING && strstr(answer->str, text) != NULL;
    freeReplyObject(answer);
    return says;
}

long long server_info(server *self, const char *section, const char *field)
{
    redisReply *answer = server_command(self, "INFO %s", section);
    const char *found = strstr(answer->str, field);
    long long number = found != NULL ? strtoll(found + strlen(field), NULL, 10) : -1;
    freeReplyObject(answer);
    return number;
}

long long server_calls(server *self, const char *command)
{
    char field[128];
    snprintf(field, sizeof field, "cmdstat_%s:calls=", command);
    long long calls = server_info(self, "commandstats", field);
    return calls < 0 ? 0 : calls;
}
