# SPDX-License-Identifier: MIT
# Finds c-ares by pkg-config's hint, else in the usual places. Defines Cares::Cares. Installed with
# the package where the library was built with it, since users of the static library need it too.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PC_CARES QUIET libcares)
endif()

find_path(Cares_INCLUDE_DIR ares.h HINTS ${PC_CARES_INCLUDEDIR} PATH_SUFFIXES include)
find_library(Cares_LIBRARY cares HINTS ${PC_CARES_LIBRARY_DIRS} ${PC_CARES_LIBDIR}
  PATH_SUFFIXES lib lib64)

set(Cares_VERSION "")
if(Cares_INCLUDE_DIR)
  file(STRINGS "${Cares_INCLUDE_DIR}/ares_version.h" _line
    REGEX "^#define ARES_VERSION_STR +\"[0-9.]+\"")
  if(_line MATCHES "\"([0-9.]+)\"")
    set(Cares_VERSION "${CMAKE_MATCH_1}")
  endif()
  unset(_line)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cares
  REQUIRED_VARS Cares_LIBRARY Cares_INCLUDE_DIR VERSION_VAR Cares_VERSION)
mark_as_advanced(Cares_INCLUDE_DIR Cares_LIBRARY)

if(Cares_FOUND AND NOT TARGET Cares::Cares)
  add_library(Cares::Cares UNKNOWN IMPORTED)
  set_target_properties(Cares::Cares PROPERTIES
    IMPORTED_LOCATION "${Cares_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Cares_INCLUDE_DIR}")
endif()
