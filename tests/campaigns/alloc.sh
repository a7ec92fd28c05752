# SPDX-License-Identifier: MIT
# Out of memory: every allocation of every public function fails once, and all from it on once.
#
#     tests/campaign alloc
#
# Runs tests/live/test_allocation.c under address and undefined-behaviour sanitizers, with calloc wrapped, so that what the
# library takes past the client's allocator fails, too; once with the system's hiredis, and once, where its source can be
# had, with hiredis 1.2.0, whose own allocations fail as well (0.14.1 has no allocator of its own, and aborts).
#
# calls: public functions; allocations_failed: runs in which one, or all from one on, failed; without_status: runs that
# ended in anything but success or REDLOCK_ERR_MEMORY

. tests/support/versions.sh
[ $# = 0 ] || { echo "usage: tests/campaign alloc" && exit 2; }
bootstrap build tests

calls=0 allocations_failed=0 crashes=0 leaks=0 without_status=0 failed=0

# figures <log>: adds up what one run told
figures() {
    set -- "$1" $(sed -n 's/^calls=\([0-9]*\) allocations_failed=\([0-9]*\) leaks=\([0-9]*\) without_status=\([0-9]*\)$/\1 \2 \3 \4/p' "$1")
    [ $# = 5 ] || { crashes=$((crashes + 1)) && return; }
    calls=$2 allocations_failed=$((allocations_failed + $3)) without_status=$((without_status + $5))
    leaks=$((leaks + $4 + $(grep -c 'Direct leak of' "$1")))
    crashes=$((crashes + $(grep -cE 'ERROR: AddressSanitizer|: runtime error:' "$1")))
}

# starve <run> <argument of cmake ...>
starve() {
    directory=build/alloc-$1
    shift
    build "$directory" live_allocation --preset asan -DCMAKE_C_FLAGS=-DREDLOCK_TEST_WRAPS_CALLOC \
        -DCMAKE_EXE_LINKER_FLAGS=-Wl,--wrap=calloc "$@"
    echo "== $directory"
    "$directory/tests/live_allocation" >"$directory/alloc.log" 2>&1 || { failed=1 && grep -vE 'RUN|  OK' "$directory/alloc.log"; }
    figures "$directory/alloc.log"
}

starve system
if provide_hiredis; then starve hiredis-1.2.0 -DREDLOCK_HIREDIS_ROOT="$hiredis_prefix"
else echo "skipped: hiredis 1.2.0 (its source package cannot be had)"
fi
echo "calls=$calls allocations_failed=$allocations_failed crashes=$crashes leaks=$leaks without_status=$without_status"
[ "$((failed + crashes + leaks + without_status))" = 0 ] && [ "$calls" -gt 0 ]
