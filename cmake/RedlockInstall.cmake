# SPDX-License-Identifier: MIT
# What a user gets: the header, the libraries, and two ways to find them. Nothing in it names the
# place of installation, so that the tree can be moved.
include(CMakePackageConfigHelpers)

set(REDLOCK_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/redlock")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")

if(REDLOCK_BUILD_SHARED)
  install(TARGETS redlock EXPORT redlockTargets)
  install(EXPORT redlockTargets NAMESPACE redlock:: DESTINATION "${REDLOCK_PACKAGE_DIR}")
endif()
if(REDLOCK_BUILD_STATIC)
  install(TARGETS redlock_static EXPORT redlockStaticTargets)
  install(EXPORT redlockStaticTargets NAMESPACE redlock:: DESTINATION "${REDLOCK_PACKAGE_DIR}")
endif()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/redlockConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/redlockConfig.cmake" INSTALL_DESTINATION "${REDLOCK_PACKAGE_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/redlockConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/redlockConfig.cmake"
  "${PROJECT_BINARY_DIR}/redlockConfigVersion.cmake"
  DESTINATION "${REDLOCK_PACKAGE_DIR}")
if(NOT REDLOCK_HAS_PRIVATE_HIREDIS)
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindHiredis.cmake"
    DESTINATION "${REDLOCK_PACKAGE_DIR}")
endif()
if(REDLOCK_CARES)
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindCares.cmake"
    DESTINATION "${REDLOCK_PACKAGE_DIR}")
endif()

# A directory as seen from the .pc file: relative to the prefix unless the user made it absolute.
function(redlock_pc_directory out directory)
  if(IS_ABSOLUTE "${directory}")
    set(${out} "${directory}" PARENT_SCOPE)
  else()
    set(${out} "\${prefix}/${directory}" PARENT_SCOPE)
  endif()
endfunction()

if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(REDLOCK_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(REDLOCK_PC_PREFIX "\${pcfiledir}/${up}")
endif()
redlock_pc_directory(REDLOCK_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
redlock_pc_directory(REDLOCK_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
set(REDLOCK_PC_REQUIRES "")
if(NOT REDLOCK_HAS_PRIVATE_HIREDIS)
  string(APPEND REDLOCK_PC_REQUIRES " hiredis")
endif()
if(REDLOCK_WITH_TLS)
  string(APPEND REDLOCK_PC_REQUIRES " libssl libcrypto")
endif()
if(REDLOCK_CARES)
  string(APPEND REDLOCK_PC_REQUIRES " libcares")
endif()
set(REDLOCK_PC_LIBS "${CMAKE_THREAD_LIBS_INIT}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/redlock.pc.in" "${PROJECT_BINARY_DIR}/redlock.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/redlock.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
