# SPDX-License-Identifier: MIT
# Embeds lua/*.lua into one C file that defines `scripts` of src/wire/script.h, each with the SHA-1
# of exactly the embedded bytes. A new script is a .lua file, its name here and its line in
# script.h.
#
# Included, this file gives redlock_embed_scripts(target). The build then runs it as
#   cmake -DOUT=<file.c> -DLUA_DIR=<dir> -DBANDS=<bands.h>
#         [-DSCRIPTS="acquire;release"] [-DLIMITS="NAME=number;..."] -P EmbedScripts.cmake
# The names of src/wire/bands.h stand for their numbers in the scripts; LIMITS replaces some, for
# tests.

if(CMAKE_SCRIPT_MODE_FILE)
    cmake_minimum_required(VERSION 3.16)
endif()

set(REDLOCK_SCRIPTS acquire release cancel renew inspect downgrade upgrade force examine)
set(REDLOCK_FRAGMENTS burial conversion digits expiry handover holders leaving line now vacate)
set(REDLOCK_EMBED_SCRIPTS_FILE "${CMAKE_CURRENT_LIST_FILE}")

# Adds the generated file to a target, and makes it again whenever a script or a fragment changes.
# What follows the target replaces limits: NAME=number.
function(redlock_embed_scripts target)
    set(lua_dir "${PROJECT_SOURCE_DIR}/lua")
    set(out "${CMAKE_CURRENT_BINARY_DIR}/scripts.c")
    set(bands "${PROJECT_SOURCE_DIR}/src/wire/bands.h")
    set(sources "${REDLOCK_EMBED_SCRIPTS_FILE}" "${bands}")
    foreach(name IN LISTS REDLOCK_SCRIPTS)
        list(APPEND sources "${lua_dir}/${name}.lua")
    endforeach()
    foreach(name IN LISTS REDLOCK_FRAGMENTS)
        list(APPEND sources "${lua_dir}/fragments/${name}.lua")
    endforeach()
    add_custom_command(
        OUTPUT "${out}"
        COMMAND "${CMAKE_COMMAND}" "-DOUT=${out}" "-DLUA_DIR=${lua_dir}" "-DBANDS=${bands}"
                "-DLIMITS=${ARGN}" -P "${REDLOCK_EMBED_SCRIPTS_FILE}"
        DEPENDS ${sources}
        COMMENT "Embedding the scripts"
        VERBATIM)
    target_sources(${target} PRIVATE "${out}")
endfunction()

# Reads a script and puts fragments in the place of its `--@include name` lines.
function(read_joined path result)
    file(READ "${path}" text)
    string(APPEND text "\n")
    while(text MATCHES "--@include ([a-z_]+)")
        set(name "${CMAKE_MATCH_1}")
        if(NOT name IN_LIST REDLOCK_FRAGMENTS)
            message(FATAL_ERROR
                "${path}: unknown fragment '${name}'; is it listed in EmbedScripts.cmake?")
        endif()
        file(READ "${LUA_DIR}/fragments/${name}.lua" fragment)
        string(APPEND fragment "\n")
        string(REPLACE "--@include ${name}\n" "${fragment}" text "${text}")
    endwhile()
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Takes out comment lines, indentation and empty lines. A comment has a line of its own in lua/.
function(strip_comments text result)
    string(REGEX REPLACE "\n[ \t]+" "\n" text "\n${text}")
    string(REGEX REPLACE "\n--[^\n]*" "" text "${text}")
    string(REGEX REPLACE "\n\n+" "\n" text "${text}")
    string(REGEX REPLACE "^\n" "" text "${text}")
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Puts the numbers of bands.h in the place of their names.
function(put_numbers text result)
    file(STRINGS "${BANDS}" lines REGEX "^#define [A-Z_]+ INT64_C")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^#define ([A-Z_]+) INT64_C.([0-9]+).*" "\\1;\\2" pair "${line}")
        list(GET pair 0 name)
        list(GET pair 1 number)
        foreach(limit IN LISTS LIMITS)
            if(limit MATCHES "^${name}=([0-9]+)$")
                set(number "${CMAKE_MATCH_1}")
            endif()
        endforeach()
        string(REPLACE "${name}" "${number}" text "${text}")
    endforeach()
    if(text MATCHES "([A-Z]+_(BAND|MOST))")
        message(FATAL_ERROR "a script says ${CMAKE_MATCH_1}, which ${BANDS} does not")
    endif()
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

function(c_literal text result)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REGEX REPLACE "\n$" "" text "${text}")
    string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
    set(${result} "    \"${text}\\n\"" PARENT_SCOPE)
endfunction()

function(embed_scripts)
    set(literals "")
    set(entries "")
    foreach(name IN LISTS SCRIPTS)
        read_joined("${LUA_DIR}/${name}.lua" text)
        strip_comments("${text}" text)
        put_numbers("${text}" text)
        string(SHA1 sha1 "${text}")
        string(TOUPPER "${name}" id)
        c_literal("${text}" literal)
        string(APPEND literals "static const char ${name}_source[] =\n${literal};\n\n")
        string(APPEND entries "    [SCRIPT_${id}] = {.name = \"${name}\",\n"
            "        .source = ${name}_source,\n"
            "        .source_length = sizeof ${name}_source - 1,\n"
            "        .sha1 = \"${sha1}\"},\n")
    endforeach()
    list(LENGTH SCRIPTS count)
    # ISO C promises literals of 4095 bytes only; every compiler in use takes longer ones.
    file(WRITE "${OUT}" "/* SPDX-License-Identifier: MIT\n"
        " * Generated from lua/ by cmake/EmbedScripts.cmake: edit the scripts there. */\n"
        "#include \"wire/script.h\"\n\n"
        "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n#endif\n\n"
        "_Static_assert(SCRIPT_COUNT == ${count}, "
        "\"script.h and EmbedScripts.cmake list the same scripts\");\n\n"
        "${literals}"
        "const script scripts[SCRIPT_COUNT] = {\n${entries}};\n")
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
    if(NOT DEFINED OUT OR NOT DEFINED LUA_DIR OR NOT DEFINED BANDS)
        message(FATAL_ERROR
            "usage: cmake -DOUT=<file.c> -DLUA_DIR=<dir> -DBANDS=<bands.h> -P EmbedScripts.cmake")
    endif()
    if(NOT DEFINED SCRIPTS)
        set(SCRIPTS ${REDLOCK_SCRIPTS})
    endif()
    embed_scripts()
endif()
