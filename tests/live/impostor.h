/* SPDX-License-Identifier: MIT
 * A server that lies: a thread that answers every EVALSHA and EVAL with one text, and every
 * SUBSCRIBE with another. In the texts stand
 *
 *     {nonce}      the nonce of the question
 *     {code}       2 (queued) if it queues, otherwise 0 (busy)
 *     {unheard}    5 (nobody hears the inbox) if it queues, otherwise 0
 *     {channel}    the channel of the subscription, as a bulk string
 *     {close}      at the end: the connection is closed
 *
 * With `loaded` it knows no script of an EVALSHA, and answers SCRIPT LOAD with a text of its own.
 *
 * What is undone at the end is undone as soon as it tells the truth: that it has nothing. */
#ifndef REDLOCK_TESTS_LIVE_IMPOSTOR_H
#define REDLOCK_TESTS_LIVE_IMPOSTOR_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "live/stage.h"

typedef struct impostor {
    int listener, stop[2];
    pthread_t thread;
    char uri[128];
    const char *_Atomic answer;
    const char *subscribed;
    _Atomic int64_t asked_us; /* when it was asked last */
    const char *loaded;       /* unless NULL: the answer to SCRIPT LOAD; EVALSHA's is NOSCRIPT */
    const char *grant;   /* unless NULL: its numbers are published to the subscriber after every
                            "queued" ... */
    const char *grantee; /* ... for this holder, or for whoever asked if NULL */
    int subscriber_fd;
    char holder[256], key[256], nonce[32], code[2], unheard[2], channel[400];
} impostor;

static inline void learn(impostor *self, const redisReply *request)
{
    if (request->elements >= 2 && strcmp(request->element[0]->str, "SUBSCRIBE") == 0)
        snprintf(self->channel, sizeof self->channel, "$%zu\r\n%s\r\n", request->element[1]->len,
                 request->element[1]->str);
    if (request->elements < 8) return;
    bool queues = request->elements > 9 && request->element[9]->len > 0;
    snprintf(self->key, sizeof self->key, "%s", request->element[3]->str);
    snprintf(self->holder, sizeof self->holder, "%s", request->element[4]->str);
    snprintf(self->nonce, sizeof self->nonce, "%s", request->element[7]->str);
    snprintf(self->code, sizeof self->code, "%d", queues ? 2 : 0);
    snprintf(self->unheard, sizeof self->unheard, "%d", queues ? 5 : 0);
}

/* Writes the template with its tokens filled in. */
static inline void render(const impostor *self, char *out, size_t size, const char *text)
{
    enum { TOKENS = 5 };
    const char *const tokens[TOKENS][2] = {{"{nonce}", self->nonce},
                                           {"{code}", self->code},
                                           {"{unheard}", self->unheard},
                                           {"{channel}", self->channel},
                                           {"{close}", ""}};
    size_t length = 0;
    while (*text != '\0' && length + 1 < size) {
        size_t i = 0;
        while (i < TOKENS && strncmp(text, tokens[i][0], strlen(tokens[i][0])) != 0) i++;
        if (i == TOKENS) {
            out[length++] = *text++;
            continue;
        }
        length += (size_t)snprintf(out + length, size - length, "%s", tokens[i][1]);
        text += strlen(tokens[i][0]);
    }
    out[length] = '\0';
}

/* A failure is the subscriber's end, which it notices itself. */
static inline void publish(impostor *self)
{
    char out[1536], payload[768];
    int length = snprintf(payload, sizeof payload, "grant %s %s %s", self->grant,
                          self->grantee ? self->grantee : self->holder, self->key);
    int size = snprintf(out, sizeof out, "*3\r\n$7\r\nmessage\r\n%s$%d\r\n%s\r\n", self->channel,
                        length, payload);
    if (send(self->subscriber_fd, out, (size_t)size, MSG_NOSIGNAL) < 0) self->grant = NULL;
}

static inline const char *text_for(const impostor *self, const char *verb)
{
    if (strcmp(verb, "SUBSCRIBE") == 0) return self->subscribed;
    if (self->loaded != NULL && strcmp(verb, "SCRIPT") == 0) return self->loaded;
    if (self->loaded != NULL && strcmp(verb, "EVALSHA") == 0) return "-NOSCRIPT no\r\n";
    return atomic_load(&self->answer);
}

/* False when the connection is to end. */
static inline bool reply_to(impostor *self, int fd, const redisReply *request)
{
    static char out[65536];
    learn(self, request);
    atomic_store(&self->asked_us, now_us());
    bool subscribes = strcmp(request->element[0]->str, "SUBSCRIBE") == 0;
    const char *text = text_for(self, request->element[0]->str);
    render(self, out, sizeof out, text);
    if (send(fd, out, strlen(out), MSG_NOSIGNAL) < 0) return false;
    if (subscribes) self->subscriber_fd = fd;
    else if (self->grant != NULL && self->code[0] == '2' && self->subscriber_fd >= 0) publish(self);
    return strstr(text, "{close}") == NULL;
}

static inline bool converse(impostor *self, int fd, redisReader *reader)
{
    char bytes[16384];
    void *request = NULL;
    ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    redisReaderFeed(reader, bytes, (size_t)count);
    bool goes_on = true;
    while (goes_on && redisReaderGetReply(reader, &request) == REDIS_OK && request != NULL) {
        goes_on = reply_to(self, fd, request);
        freeReplyObject(request);
    }
    return goes_on;
}

#define GUESTS 16

static inline void *impostor_run(void *arg)
{
    impostor *self = arg;
    struct pollfd fds[2 + GUESTS];
    redisReader *readers[GUESTS];
    for (int i = 0; i < GUESTS; i++) fds[2 + i].fd = -1, fds[2 + i].events = POLLIN;
    fds[0] = (struct pollfd){.fd = self->stop[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
    for (;;) {
        poll(fds, 2 + GUESTS, -1);
        for (int i = 0; i < GUESTS; i++) {
            bool is_new = fds[2 + i].fd < 0 && fds[1].revents != 0;
            if (is_new) {
                fds[2 + i].fd = accept(self->listener, NULL, NULL);
                fds[1].revents = fds[2 + i].revents = 0;
                readers[i] = redisReaderCreate();
            }
            if (fds[2 + i].fd < 0) continue;
            bool stays = fds[0].revents == 0 && (fds[2 + i].revents == 0 || is_new ||
                                                 converse(self, fds[2 + i].fd, readers[i]));
            if (stays) continue;
            close(fds[2 + i].fd);
            redisReaderFree(readers[i]);
            fds[2 + i].fd = -1;
        }
        if (fds[0].revents != 0) return NULL;
    }
}

static inline void impostor_start(impostor *self, const stage *the, const char *answer,
                                  const char *subscribed)
{
    static int number;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(self, 0, sizeof *self);
    atomic_store(&self->answer, answer);
    self->subscribed = subscribed;
    self->subscriber_fd = -1;
    snprintf(at.sun_path, sizeof at.sun_path, "%s/i%d", server_directory(the->server), number++);
    snprintf(self->uri, sizeof self->uri, "unix://%s", at.sun_path);
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self->listener, GUESTS), 0);
    assert_int_equal(pipe(self->stop), 0);
    assert_int_equal(pthread_create(&self->thread, NULL, impostor_run, self), 0);
}

static inline void impostor_repent(impostor *self)
{
    atomic_store(&self->answer, "*3\r\n:0\r\n:{nonce}\r\n:1800000000000000\r\n");
}

static inline void impostor_stop(impostor *self)
{
    assert_int_equal(write(self->stop[1], "", 1), 1);
    pthread_join(self->thread, NULL);
    close(self->stop[0]), close(self->stop[1]), close(self->listener);
}

#endif
