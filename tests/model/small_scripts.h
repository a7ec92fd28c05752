/* SPDX-License-Identifier: MIT
 * The scripts once more, with limits so small that a few calls reach them (CMakeLists.txt). */
#ifndef REDLOCK_TESTS_MODEL_SMALL_SCRIPTS_H
#define REDLOCK_TESTS_MODEL_SMALL_SCRIPTS_H

#include "wire/script.h"

extern const script small_scripts[SCRIPT_COUNT];

#endif
