/* SPDX-License-Identifier: MIT
 * The tour's stage: starts and ends the actors, carries orders and reports over one socket pair for
 * each, prints. Nobody here waits for longer than PATIENCE. */
#define _POSIX_C_SOURCE 200809L
#include "tour.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 20 };

static const char *const names[ACTORS] = {"alice", "bob", "carol"};
static struct {
    pid_t pid;
    int fd;
} cast[ACTORS];

static void start(enum actor_id actor, const char *uri)
{
    int ends[2];
    expect(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "a socket pair is made");
    pid_t pid = fork();
    expect(pid >= 0, "a process is made");
    if (pid == 0) {
        close(ends[0]);
        actor_live(names[actor], uri, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cast[actor].pid = pid;
    cast[actor].fd = ends[0];
}

/* However the tour ends, no actor stays behind, stopped ones included. */
static void dismiss(void)
{
    for (int i = 0; i < ACTORS; i++)
        if (cast[i].pid > 0) kill(cast[i].pid, SIGKILL);
}

void stage_open(const char *uri)
{
    atexit(dismiss);
    for (enum actor_id i = 0; i < ACTORS; i++) start(i, uri);
    for (enum actor_id i = 0; i < ACTORS; i++) {
        redlock_status st = hear(i).status;
        if (st != REDLOCK_OK) fprintf(stderr, "%s: %s\n", names[i], redlock_strerror(st));
        expect(st == REDLOCK_OK, "every actor reaches the server");
    }
}

void stage_close(void)
{
    /* An actor leaves when its socket ends, and every later actor has inherited a copy of the
     * director's end: so the last one leaves first. */
    for (int i = ACTORS - 1; i >= 0; i--) {
        close(cast[i].fd);
        waitpid(cast[i].pid, NULL, 0);
        cast[i].pid = 0;
    }
}

void tell(enum actor_id actor, struct order order)
{
    ssize_t sent = send(cast[actor].fd, &order, sizeof order, MSG_NOSIGNAL);
    expect(sent == (ssize_t)sizeof order, "an order reaches its actor");
}

struct report hear(enum actor_id actor)
{
    struct report report;
    ssize_t got = recv(cast[actor].fd, &report, sizeof report, 0);
    expect(got == (ssize_t)sizeof report, "an actor reports in time");
    return report;
}

struct report ask(enum actor_id actor, struct order order)
{
    tell(actor, order);
    return hear(actor);
}

void send_signal(enum actor_id actor, int number)
{
    expect(kill(cast[actor].pid, number) == 0, "a signal reaches its actor");
}

void chapter(const char *title) { printf("\n%s\n", title); }

void say(int64_t took_us, const char *format, ...)
{
    char sentence[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (took_us < 0) printf("  %s\n", sentence);
    else if (took_us < 10000) printf("  %-74s %6ld us\n", sentence, (long)took_us);
    else printf("  %-74s %6ld ms\n", sentence, (long)(took_us / 1000));
    fflush(stdout);
}

void expect(bool is_so, const char *what)
{
    if (is_so) return;
    fprintf(stderr, "the tour stops: this should have happened: %s\n", what);
    exit(1);
}
