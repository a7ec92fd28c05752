# SPDX-License-Identifier: MIT
# hiredis's reader has structures that differ between versions, and its functions have no version.
# In a program with a hiredis of its own, ours would be given to its reader, or its to ours, and
# crash. So the reader is made part of our libraries, from hiredis's static archive, and hidden,
# where there is one whose code may stand anywhere. Nothing of hiredis is then needed by our users.
include(CheckCSourceCompiles)

# redlock_find_hiredis_archive(out): whether there is one that a shared library can hold
function(redlock_find_hiredis_archive out)
  set(CMAKE_REQUIRED_FLAGS "${CMAKE_REQUIRED_FLAGS} -fPIC -shared")
  set(CMAKE_REQUIRED_INCLUDES "${Hiredis_INCLUDE_DIR}")
  set(CMAKE_REQUIRED_LIBRARIES "${Hiredis_ARCHIVE}")
  check_c_source_compiles("
    #include <hiredis/hiredis.h>
    void *redlock_probe(void *functions);
    void *redlock_probe(void *functions) { return redisReaderCreateWithFunctions(functions); }"
    REDLOCK_HIREDIS_ARCHIVE_FITS)
  set(${out} ${REDLOCK_HIREDIS_ARCHIVE_FITS} PARENT_SCOPE)
endfunction()

set(REDLOCK_HAS_PRIVATE_HIREDIS OFF)
if(NOT REDLOCK_PRIVATE_HIREDIS STREQUAL "OFF" AND Hiredis_ARCHIVE AND CMAKE_OBJCOPY
    AND UNIX AND NOT APPLE)
  redlock_find_hiredis_archive(REDLOCK_HAS_PRIVATE_HIREDIS)
endif()
if(REDLOCK_PRIVATE_HIREDIS STREQUAL "ON" AND NOT REDLOCK_HAS_PRIVATE_HIREDIS)
  message(FATAL_ERROR "REDLOCK_PRIVATE_HIREDIS: there is no static hiredis that was compiled with "
    "-fPIC (libhiredis.a beside ${Hiredis_LIBRARY})")
endif()
