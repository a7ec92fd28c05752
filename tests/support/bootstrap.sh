# SPDX-License-Identifier: MIT
# Sees to it that what the build and the tests need is there. As root on a Debian-like system it
# installs what is missing; elsewhere it says what is missing, and exits 2. To be sourced, from the
# root of the tree.
#
#     bootstrap build                what the library and the examples need, and a server
#     bootstrap build tests          and what the tests need
#     bootstrap build tests full     and what the instrumented runs need
#     bootstrap build tests matrix   and what other versions of hiredis, and c-ares, need
#     bootstrap fuzz                 what fuzzing needs beyond the tests
#     bootstrap network              what the campaign of the network needs beyond the tests

missing_names=
missing_packages=
optional_names=
optional_packages=

# Some systems export it for compilers; as a make variable of hiredis it moves where hiredis is
# installed, and it puts other libraries ahead of those that were found.
unset LIBRARY_PATH

has() { command -v "$1" >/dev/null 2>&1; }
has_library() { has pkg-config && pkg-config --exists "$1"; }
has_header() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]; }
has_server() { [ -n "${REDLOCK_TEST_SERVER:-}" ] || has redis-server || has valkey-server; }
has_libfuzzer() {
    has clang && ls "$(clang -print-runtime-dir)"/libclang_rt.fuzzer*.a >/dev/null 2>&1
}
has_builder() { has make || has ninja; }

# need|want <name for people> <package> <check ...>: what is wanted leaves a gap in the tests where
# it is missing
need() {
    name=$1 package=$2
    shift 2
    "$@" && return
    missing_names="$missing_names $name" missing_packages="$missing_packages $package"
}
want() {
    name=$1 package=$2
    shift 2
    "$@" && return
    optional_names="$optional_names $name" optional_packages="$optional_packages $package"
}
# prefer <package> <check ...>: what only saves time
prefer() {
    package=$1
    shift
    "$@" || optional_packages="$optional_packages $package"
}

list_build() {
    need cmake cmake has cmake
    need C-compiler 'gcc libc6-dev' has "${CC:-cc}"
    need make make has_builder
    prefer ninja-build has ninja
    need pkg-config pkg-config has pkg-config
    need hiredis libhiredis-dev has_library hiredis
    need redis-server-or-valkey-server redis-server has_server
    want OpenSSL libssl-dev has_library libssl
}
list_tests() {
    need cmocka libcmocka-dev has_library cmocka
    want C++-compiler g++ has c++
    want libuv libuv1-dev has_library libuv
    want libevent libevent-dev has_library libevent_core
    want libev libev-dev has_header ev.h
    want GLib libglib2.0-dev has_library glib-2.0
    want patch patch has patch
    want clang-format clang-format has clang-format
    want Lua-5.1 'lua5.1 liblua5.1-0-dev' has_library lua5.1
}
list_full() { need valgrind valgrind has valgrind; }
list_matrix() {
    need dpkg-source 'dpkg-dev xz-utils patch' has dpkg-source
    want c-ares libc-ares-dev has_library libcares
}
list_network() { want iproute2 iproute2 has ip; }
list_fuzz() {
    need clang clang has clang
    need libFuzzer-of-clang libclang-rt-dev has_libfuzzer
    need llvm-cov llvm has llvm-cov
}

list_all() {
    missing_names= missing_packages= optional_names= optional_packages=
    for group in "$@"; do "list_$group"; done
}

can_install() { [ "$(id -u)" = 0 ] && has apt-get && has dpkg; }

# A policy that refuses to start services, for as long as the installation lasts: the tests start
# their own servers.
install_packages() {
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] && policy=
    [ -n "$policy" ] && { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; }
    echo "installing:" "$@"
    mkdir -p build
    {
        apt-get update &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    } >build/install.log 2>&1 ||
        { tail -20 build/install.log; echo "the installation failed: build/install.log"; }
    [ -n "$policy" ] && rm -f $policy
}

bootstrap() {
    list_all "$@"
    if [ -n "$missing_packages$optional_packages" ] && can_install; then
        # shellcheck disable=SC2086 # a list of words
        install_packages $missing_packages $optional_packages
        list_all "$@"
    fi
    # Half the time of make: most targets here are small. A directory built before keeps its own.
    has ninja && export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
    [ -z "$missing_names" ] && return
    echo "missing:$missing_names"
    echo "On Debian and its like: apt-get install$missing_packages$optional_packages"
    exit 2
}

# Address randomization of newer kernels does not fit older thread sanitizers.
without_randomization() {
    setarch "$(uname -m)" -R true 2>/dev/null && echo "setarch $(uname -m) -R"
}
