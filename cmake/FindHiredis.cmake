# SPDX-License-Identifier: MIT
# Finds hiredis 0.14.1 or newer: below REDLOCK_HIREDIS_ROOT if that is given, else by pkg-config's
# hint, else in the usual places. Defines Hiredis::Hiredis. Installed with the package, since users
# of the static library need it too.
if(REDLOCK_HIREDIS_ROOT)
  set(_hiredis_search HINTS "${REDLOCK_HIREDIS_ROOT}" NO_DEFAULT_PATH)
else()
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PC_HIREDIS QUIET hiredis)
  endif()
  # Older versions of its hiredis.pc name the folder of the headers themselves.
  set(_hiredis_search HINTS
    ${PC_HIREDIS_INCLUDEDIR} ${PC_HIREDIS_LIBRARY_DIRS} ${PC_HIREDIS_LIBDIR})
endif()

find_path(Hiredis_INCLUDE_DIR hiredis/hiredis.h ${_hiredis_search} PATH_SUFFIXES include)
find_library(Hiredis_LIBRARY hiredis ${_hiredis_search} PATH_SUFFIXES lib lib64)
find_library(Hiredis_ARCHIVE libhiredis.a ${_hiredis_search} PATH_SUFFIXES lib lib64)
unset(_hiredis_search)

set(Hiredis_VERSION "")
if(Hiredis_INCLUDE_DIR)
  foreach(_part MAJOR MINOR PATCH)
    file(STRINGS "${Hiredis_INCLUDE_DIR}/hiredis/hiredis.h" _line
      REGEX "^#define HIREDIS_${_part} +[0-9]+")
    if(_line MATCHES "([0-9]+)")
      list(APPEND Hiredis_VERSION ${CMAKE_MATCH_1})
    endif()
  endforeach()
  list(JOIN Hiredis_VERSION "." Hiredis_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Hiredis
  REQUIRED_VARS Hiredis_LIBRARY Hiredis_INCLUDE_DIR VERSION_VAR Hiredis_VERSION)
mark_as_advanced(Hiredis_INCLUDE_DIR Hiredis_LIBRARY Hiredis_ARCHIVE)

if(Hiredis_FOUND AND NOT TARGET Hiredis::Hiredis)
  add_library(Hiredis::Hiredis UNKNOWN IMPORTED)
  set_target_properties(Hiredis::Hiredis PROPERTIES
    IMPORTED_LOCATION "${Hiredis_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Hiredis_INCLUDE_DIR}")
endif()
