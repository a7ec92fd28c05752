/* SPDX-License-Identifier: MIT
 * One Lua state with every script compiled once. Rule: no state outlives a run; a script that
 * touches a global variable of its own fails, as in Redis. */
#include "sim/server/interpreter.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_WORDS = 2 * MEMBERS_MOST + 8, NUMBER_SIZE = 32 };

static lua_State *state;
static int compiled[SCRIPT_COUNT];
static const script_host *host;
static bool has_written;
static outcome result;

void resp_add(resp *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(out->bytes + out->length, sizeof out->bytes - out->length, format, arguments);
    va_end(arguments);
    if (length < 0 || out->length + (size_t)length >= sizeof out->bytes) {
        fprintf(stderr, "an answer is too long for the simulator\n");
        abort();
    }
    out->length += (size_t)length;
}

/* ---- redis.call ------------------------------------------------------------------------------ */

/* Numbers become text as in Redis 7; the text of strings is Lua's own. */
static int read_words(lua_State *lua, words *argv, char numbers[CALL_WORDS][NUMBER_SIZE])
{
    int argc = lua_gettop(lua);
    if (argc == 0 || argc > CALL_WORDS)
        return luaL_error(lua, "wrong number of arguments for redis.call");
    for (int i = 0; i < argc; i++) {
        if (lua_type(lua, i + 1) == LUA_TNUMBER) {
            int length = snprintf(numbers[i], NUMBER_SIZE, "%.17g", lua_tonumber(lua, i + 1));
            argv[i] = (words){numbers[i], (size_t)length};
        } else if (lua_type(lua, i + 1) == LUA_TSTRING) {
            argv[i].at = lua_tolstring(lua, i + 1, &argv[i].length);
        } else {
            return luaL_error(lua, "Lua redis lib command arguments must be strings or integers");
        }
    }
    return argc;
}

static const char *refusal(int flags)
{
    if (flags < 0) return "ERR Unknown Redis command called from script";
    if ((flags & COMMAND_WRITES) != 0 && host->is_read_only)
        return "READONLY You can't write against a read only replica.";
    bool grows_first = (flags & COMMAND_GROWS) != 0 && !has_written;
    if (grows_first && host->is_out_of_memory)
        return "OOM command not allowed when used memory > 'maxmemory'.";
    return NULL;
}

static bool is_word(words given, const char *word)
{
    return given.length == strlen(word) && memcmp(given.at, word, given.length) == 0;
}

/* As many subscribe to each of the channels. */
static void count_subscribers(int argc, const words *argv)
{
    result.kind = OUTCOME_ARRAY;
    result.count = 0;
    result.scratch_used = 0;
    for (int i = 2; i < argc; i++) {
        char *at = result.scratch + result.scratch_used;
        int length = snprintf(at, 12, "%d", (int)host->subscribers(argv[i]));
        result.scratch_used += (size_t)length + 1;
        result.items[result.count++] = argv[i];
        result.items[result.count++] = (words){at, (size_t)length};
    }
}

/* PUBLISH, and PUBSUB NUMSUB. True if it was one of them. */
static bool run_messaging(int argc, const words *argv)
{
    bool publishes = argc == 3 && is_word(argv[0], "PUBLISH");
    bool counts = argc >= 2 && is_word(argv[0], "PUBSUB") && is_word(argv[1], "NUMSUB");
    if (publishes) {
        result.kind = OUTCOME_INTEGER;
        result.integer = host->publish(argv[1], argv[2]);
    } else if (counts) {
        count_subscribers(argc, argv);
    }
    return publishes || counts;
}

static void run_command(int argc, const words *argv)
{
    if (run_messaging(argc, argv)) return;
    int flags = keyspace_flags(argv[0]);
    const char *refused = refusal(flags);
    if (refused != NULL) {
        result.kind = OUTCOME_ERROR;
        result.text = (words){refused, strlen(refused)};
        return;
    }
    if ((flags & COMMAND_WRITES) != 0) has_written = true;
    keyspace_run(host->data, &result, argc, argv);
}

static void push_error(lua_State *lua, words text)
{
    lua_createtable(lua, 0, 1);
    lua_pushlstring(lua, text.at, text.length);
    lua_setfield(lua, -2, "err");
}

static void push_result(lua_State *lua)
{
    switch (result.kind) {
    case OUTCOME_INTEGER: lua_pushnumber(lua, (lua_Number)result.integer); return;
    case OUTCOME_BULK: lua_pushlstring(lua, result.text.at, result.text.length); return;
    case OUTCOME_NIL: lua_pushboolean(lua, 0); return;
    case OUTCOME_ERROR: push_error(lua, result.text); return;
    case OUTCOME_ARRAY: break;
    }
    lua_createtable(lua, (int)result.count, 0);
    for (size_t i = 0; i < result.count; i++) {
        lua_pushlstring(lua, result.items[i].at, result.items[i].length);
        lua_rawseti(lua, -2, (int)i + 1);
    }
}

static int protected_call(lua_State *lua)
{
    words argv[CALL_WORDS];
    char numbers[CALL_WORDS][NUMBER_SIZE];
    int argc = read_words(lua, argv, numbers);
    run_command(argc, argv);
    push_result(lua);
    return 1;
}

static int call(lua_State *lua)
{
    protected_call(lua);
    return result.kind == OUTCOME_ERROR ? lua_error(lua) : 1;
}

/* ---- The state ------------------------------------------------------------------------------- */

static int refuse_global(lua_State *lua)
{
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(lua, 2));
}

static void guard_globals(void)
{
    lua_createtable(state, 0, 2);
    lua_pushcfunction(state, refuse_global);
    lua_setfield(state, -2, "__index");
    lua_pushcfunction(state, refuse_global);
    lua_setfield(state, -2, "__newindex");
    lua_setmetatable(state, LUA_GLOBALSINDEX);
}

static void open_libraries(void)
{
    static const luaL_Reg libraries[] = {{"", luaopen_base},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math}};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_pushcfunction(state, libraries[i].func);
        lua_pushstring(state, libraries[i].name);
        lua_call(state, 1, 0);
    }
    lua_createtable(state, 0, 2);
    lua_pushcfunction(state, call);
    lua_setfield(state, -2, "call");
    lua_pushcfunction(state, protected_call);
    lua_setfield(state, -2, "pcall");
    lua_setglobal(state, "redis");
}

void interpreter_open(void)
{
    state = luaL_newstate();
    if (state == NULL) exit(2);
    open_libraries();
    lua_newtable(state);
    lua_setglobal(state, "KEYS");
    lua_newtable(state);
    lua_setglobal(state, "ARGV");
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        if (luaL_loadbuffer(state, scripts[i].source, scripts[i].source_length, scripts[i].name) !=
            0) {
            fprintf(stderr, "%s: %s\n", scripts[i].name, lua_tostring(state, -1));
            exit(2);
        }
        compiled[i] = luaL_ref(state, LUA_REGISTRYINDEX);
    }
    guard_globals();
}

void interpreter_close(void) { lua_close(state); }

/* ---- A run ----------------------------------------------------------------------------------- */

static void set_list(const char *name, int count, const words *list)
{
    lua_createtable(state, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(state, list[i].at, list[i].length);
        lua_rawseti(state, -2, i + 1);
    }
    lua_pushstring(state, name);
    lua_insert(state, -2);
    lua_rawset(state, LUA_GLOBALSINDEX);
}

static void write_value(resp *out, int at);

static void write_table(resp *out, int at)
{
    lua_pushliteral(state, "err");
    lua_rawget(state, at);
    if (lua_type(state, -1) == LUA_TSTRING) {
        resp_add(out, "-%s\r\n", lua_tostring(state, -1));
        lua_pop(state, 1);
        return;
    }
    lua_pop(state, 1);
    int count = 0;
    for (bool has_more = true; has_more; count += has_more) {
        lua_rawgeti(state, at, count + 1);
        has_more = !lua_isnil(state, -1);
        lua_pop(state, 1);
    }
    resp_add(out, "*%d\r\n", count);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(state, at, i);
        write_value(out, lua_gettop(state));
        lua_pop(state, 1);
    }
}

static void write_value(resp *out, int at)
{
    switch (lua_type(state, at)) {
    case LUA_TNUMBER: resp_add(out, ":%lld\r\n", (long long)lua_tonumber(state, at)); return;
    case LUA_TSTRING:
        resp_add(out, "$%d\r\n%s\r\n", (int)lua_objlen(state, at), lua_tostring(state, at));
        return;
    case LUA_TBOOLEAN: resp_add(out, lua_toboolean(state, at) ? ":1\r\n" : "$-1\r\n"); return;
    case LUA_TTABLE: write_table(out, at); return;
    default: resp_add(out, "$-1\r\n");
    }
}

/* An error that was raised: a command's, with the place behind it, or Lua's own. */
static void write_failure(resp *out, enum script_id id)
{
    const char *text = NULL;
    if (lua_type(state, -1) == LUA_TTABLE) {
        lua_getfield(state, -1, "err");
        text = lua_tostring(state, -1);
        resp_add(out, "-%s script: %s, on @user_script:1.\r\n", text, scripts[id].sha1);
    } else {
        text = lua_tostring(state, -1);
        resp_add(out, "-ERR %s script: %s, on @user_script:1.\r\n", text, scripts[id].sha1);
    }
}

void interpreter_run(const script_host *on, enum script_id id, words key, int argc,
                     const words *argv, resp *out)
{
    host = on;
    has_written = false;
    set_list("KEYS", 1, &key);
    set_list("ARGV", argc, argv);
    lua_rawgeti(state, LUA_REGISTRYINDEX, compiled[id]);
    if (lua_pcall(state, 0, 1, 0) == 0) write_value(out, lua_gettop(state));
    else write_failure(out, id);
    lua_settop(state, 0);
}
