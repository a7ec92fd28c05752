/* SPDX-License-Identifier: MIT
 * Statuses in words. */
#include <redlock/redlock.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

const char *redlock_strerror(redlock_status status)
{
    switch ((int)status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case value: return text;
        REDLOCK_STATUSES(STATUS_TEXT)
#undef STATUS_TEXT
    default: return "not a status of this library";
    }
}

const char *redlock_status_name(redlock_status status)
{
    switch ((int)status) {
#define STATUS_NAME(name, value, text)                                                             \
    case value: return "REDLOCK_" #name;
        REDLOCK_STATUSES(STATUS_NAME)
#undef STATUS_NAME
    default: return "REDLOCK_?";
    }
}

const char *redlock_loss_text(redlock_loss why)
{
    switch ((int)why) {
#define LOSS_TEXT(name, value, text)                                                               \
    case value: return text;
        REDLOCK_LOSSES(LOSS_TEXT)
#undef LOSS_TEXT
    default: return "not a loss of this library";
    }
}

const char *redlock_version(void)
{
    return STRINGIFY(REDLOCK_VERSION_MAJOR) "." STRINGIFY(REDLOCK_VERSION_MINOR) "." STRINGIFY(
        REDLOCK_VERSION_PATCH);
}
