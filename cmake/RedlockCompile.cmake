# SPDX-License-Identifier: MIT
# How our own targets are compiled. Private: nothing of it reaches a user's target.
function(redlock_compile target)
  # As one unit, CMAKE_UNITY_BUILD, only the library is built (src/CMakeLists.txt): names of the
  # tests are their file's.
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF UNITY_BUILD OFF)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    $<$<BOOL:${REDLOCK_WERROR}>:-Werror>)
  # Examples are compiled as a user's program is.
  if(NOT CMAKE_CURRENT_SOURCE_DIR MATCHES "/examples$")
    target_compile_options(${target} PRIVATE
      "SHELL:-include \"${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../src/host/private_names.h\"")
  endif()
  if(REDLOCK_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=${REDLOCK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${REDLOCK_SANITIZE})
  endif()
  if(REDLOCK_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage)
    target_link_options(${target} PRIVATE --coverage)
  endif()
endfunction()

# Do the library's sources in this target check their assertions? What a program links never aborts.
function(redlock_assert target)
  set(asserts ${REDLOCK_ASSERTIONS})
  if(asserts STREQUAL "AUTO")
    set(asserts OFF)
    if(PROJECT_IS_TOP_LEVEL AND CMAKE_BUILD_TYPE STREQUAL "Debug")
      set(asserts ON)
    endif()
  endif()
  if(NOT asserts)
    target_compile_definitions(${target} PRIVATE NDEBUG)
  endif()
endfunction()
