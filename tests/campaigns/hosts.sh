# SPDX-License-Identifier: MIT
# Programs with a hiredis of their own, shared and static, of our version and of another one.
#
#     tests/campaign hosts [--brief]
#
# The library is built by each compiler that is there, with and without link-time optimization. With
# each of these, shared and static, a program is linked that uses the hiredis of the system, shared
# and static, and one that uses hiredis 1.2.0, shared and static; and it is run. So it is with the
# library built as one unit, of which the compiler has no warning. --brief: by the system's compiler
# alone, without optimization.
#
# Last, the library is built so that it shares the program's hiredis: beside another version it is
# to say so when a client is opened.
#
# hosts: programs that ran; failed: those that did not do their work; strangers: libraries that give
# out more, or less, than what the header declares.

. tests/support/versions.sh
brief=''
[ "${1:-}" = --brief ] && brief=yes && shift
[ $# = 0 ] || { echo "usage: tests/campaign hosts [--brief]" && exit 2; }

work=$PWD/build/hosts
hosts=0 failed=0 strangers=0

# build_library <directory> <compiler> <flags> <flags of the linker> [<ON or OFF: its own hiredis>
# [<ON or OFF: one unit>]]
build_library() {
    rm -rf "$1"
    build "$1" all -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER="$2" -DCMAKE_C_FLAGS="$3" \
        -DCMAKE_SHARED_LINKER_FLAGS="$4" -DREDLOCK_PRIVATE_HIREDIS="${5:-ON}" \
        -DCMAKE_INSTALL_PREFIX="$1/installed" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_UNITY_BUILD="${6:-OFF}" -DREDLOCK_WERROR="${6:-OFF}" \
        -DREDLOCK_BUILD_TESTS=OFF -DREDLOCK_BUILD_EXAMPLES=OFF
    cmake --install "$1" >"$1/install.log"
    for library in "$1/src/libredlock.so" "$1/src/libredlock.a"; do
        sh tests/exports "$library" || strangers=$((strangers + 1))
    done
}

# run_host <directory of the library> <compiler> <flags> <name> <argument of the linker ...>
run_host() {
    directory=$1 compiler=$2 flags=$3 name=$4
    shift 4
    hosts=$((hosts + 1))
    # shellcheck disable=SC2086 # a list of words
    if $compiler $flags -std=gnu11 -I"$directory/installed/include" tests/install/host.c \
        -o "$directory/$name" "$@" -lssl -lcrypto -lpthread &&
        tests/support/with_server "$directory/$name" >"$directory/$name.log" 2>&1; then
        return
    fi
    cat "$directory/$name.log"
    echo "$directory/$name failed"
    failed=$((failed + 1))
}

# with_each_hiredis <directory of the library> <compiler> <flags> <name> <library ...>: that of the
# program comes first, and last
with_each_hiredis() {
    directory=$1 compiler=$2 flags=$3 name=$4
    shift 4
    other=$hiredis_prefix/lib
    run_host "$directory" "$compiler" "$flags" "$name-system" "$@" -lhiredis
    run_host "$directory" "$compiler" "$flags" "$name-system-static" "$@" -l:libhiredis.a
    run_host "$directory" "$compiler" "$flags -I$hiredis_prefix/include" "$name-1.2.0" \
        "$other/libhiredis.so" -Wl,-rpath,"$other" "$@"
    run_host "$directory" "$compiler" "$flags -I$hiredis_prefix/include" "$name-1.2.0-static" \
        "$other/libhiredis.a" "$@"
}

# A program with another hiredis than that which the library shares with it.
refuse_stranger() {
    directory=$work/sharing
    echo "== sharing"
    build_library "$directory" "${CC:-cc}" '' '' OFF
    hosts=$((hosts + 1))
    "${CC:-cc}" -std=gnu11 -I"$directory/installed/include" -I"$hiredis_prefix/include" \
        tests/install/host.c -o "$directory/host" "$hiredis_prefix/lib/libhiredis.so" \
        -Wl,-rpath,"$hiredis_prefix/lib" "$directory/src/libredlock.so" -Wl,-rpath,"$directory/src"
    tests/support/with_server "$directory/host" >"$directory/host.log" 2>&1
    grep -q 'REDLOCK_ERR_SYSTEM: this process has another hiredis' "$directory/host.log" && return
    cat "$directory/host.log"
    echo "a stranger was not refused"
    failed=$((failed + 1))
}

# try_library <name> <compiler> <flags> <flags of the linker> [<ON or OFF: one unit>]
try_library() {
    directory=$work/$1
    echo "== $1"
    build_library "$directory" "$2" "$3" "$4" ON "${5:-OFF}"
    with_each_hiredis "$directory" "$2" "$3 $4" shared "$directory/src/libredlock.so" \
        -Wl,-rpath,"$directory/src"
    with_each_hiredis "$directory" "$2" "$3 $4" static "$directory/src/libredlock.a"
}

provide_hiredis || { echo "hiredis 1.2.0: its source package cannot be had" && exit 2; }
try_library "$(basename "${CC:-cc}")" "${CC:-cc}" '' ''
try_library one-unit "${CC:-cc}" '' '' ON
if [ -z "$brief" ]; then
    has gcc && try_library gcc-lto gcc -flto=auto ''
    has clang && try_library clang clang '' ''
    has clang && has ld.lld && try_library clang-lto clang -flto -fuse-ld=lld
fi
refuse_stranger
echo "hosts=$hosts failed=$failed strangers=$strangers"
[ "$((failed + strangers))" = 0 ] && [ "$hosts" -gt 0 ]
