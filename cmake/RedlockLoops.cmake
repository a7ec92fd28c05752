# SPDX-License-Identifier: MIT
# The event loops that have an adapter in include/redlock. Each that is installed becomes a target
# redlock_loop_<name>, which the example and the live test of that adapter link; the others are
# named and left out.
find_package(PkgConfig QUIET)

# redlock_find_loop(name package header library): by pkg-config or, for those without a .pc file, by
# header and library
function(redlock_find_loop name package header library)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(REDLOCK_LOOP_${name} QUIET IMPORTED_TARGET ${package})
  endif()
  if(TARGET PkgConfig::REDLOCK_LOOP_${name})
    set(found PkgConfig::REDLOCK_LOOP_${name})
  else()
    find_path(REDLOCK_LOOP_${name}_INCLUDE_DIR ${header})
    find_library(REDLOCK_LOOP_${name}_LIBRARY ${library})
    mark_as_advanced(REDLOCK_LOOP_${name}_INCLUDE_DIR REDLOCK_LOOP_${name}_LIBRARY)
    if(NOT REDLOCK_LOOP_${name}_INCLUDE_DIR OR NOT REDLOCK_LOOP_${name}_LIBRARY)
      message(STATUS "skipped: ${package} does not exist here; its example and test are left out")
      return()
    endif()
    set(found "${REDLOCK_LOOP_${name}_LIBRARY}")
  endif()
  add_library(redlock_loop_${name} INTERFACE)
  target_link_libraries(redlock_loop_${name} INTERFACE ${found})
  if(REDLOCK_LOOP_${name}_INCLUDE_DIR)
    target_include_directories(redlock_loop_${name} SYSTEM INTERFACE
      "${REDLOCK_LOOP_${name}_INCLUDE_DIR}")
  endif()
endfunction()

redlock_find_loop(uv libuv uv.h uv)
redlock_find_loop(event libevent_core event2/event.h event_core)
redlock_find_loop(ev libev ev.h ev)
redlock_find_loop(glib glib-2.0 glib-unix.h glib-2.0)
