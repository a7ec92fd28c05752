/* SPDX-License-Identifier: MIT
 * A program with a hiredis of its own, perhaps of another version than ours: both do their work,
 * and neither's reader gets what is the other's. */
#include <redlock/redlock.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

static int reads_by_itself(void)
{
    static const char bytes[] = "*3\r\n$1\r\na\r\n:7\r\n*1\r\n$-1\r\n";
    void *root = NULL;
    redisReader *reader = redisReaderCreate();
    if (reader == NULL || redisReaderFeed(reader, bytes, sizeof bytes - 1) != REDIS_OK) return 0;
    if (redisReaderGetReply(reader, &root) != REDIS_OK || root == NULL) return 0;
    const redisReply *reply = root;
    int is_right = reply->elements == 3 && reply->element[1]->integer == 7 &&
                   reply->element[2]->element[0]->type == REDIS_REPLY_NIL;
    freeReplyObject(root);
    redisReaderFree(reader);
    return is_right;
}

static int asks_by_itself(const char *socket)
{
    redisContext *connection = redisConnectUnix(socket);
    redisReply *reply = connection->err ? NULL : redisCommand(connection, "PING");
    int is_right = reply != NULL && strcmp(reply->str, "PONG") == 0;
    freeReplyObject(reply);
    redisFree(connection);
    return is_right;
}

/* Answers with integers, with strings and with nested arrays. */
static int locks(redlock_client *client)
{
    redlock_lock *lock;
    redlock_inspection *seen;
    if (redlock_acquire(client, "host", REDLOCK_OPTIONS(.wait_ms = 1000), &lock) != REDLOCK_OK)
        return 0;
    if (redlock_inspect(client, "host", 4, &seen, NULL) != REDLOCK_OK) return 0;
    int is_right = seen->holders == 1 && redlock_is_held(lock);
    redlock_inspection_free(seen);
    return redlock_release(lock) == REDLOCK_OK && is_right;
}

int main(int argc, char **argv)
{
    redlock_client *client;
    redlock_detail detail = {""};
    if (argc != 2 || !reads_by_itself()) return 1;
    redlock_status status = redlock_open(
        argv[1], REDLOCK_CLIENT_OPTIONS(.connect_now = true, .detail = &detail), &client);
    if (status != REDLOCK_OK) {
        printf("%s: %s\n", redlock_status_name(status), detail.text);
        return 2;
    }
    int is_right = locks(client) && asks_by_itself(argv[1] + strlen("unix://")) && locks(client);
    if (redlock_close(client) != REDLOCK_OK || !is_right) return 3;
    printf("hiredis %d.%d.%d beside us\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return reads_by_itself() ? 0 : 4;
}
