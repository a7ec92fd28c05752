# SPDX-License-Identifier: MIT
# Out of memory: every allocation of every public function fails once, and all from it on once.
#
#     tests/campaign alloc
#
# Runs tests/live/test_allocation.c under address and undefined-behaviour sanitizers, with calloc
# wrapped, so that what the library takes past the client's allocator fails, too; once with the
# system's hiredis, and once, where its source can be had, with hiredis 1.2.0, whose own allocations
# fail as well (0.14.1 has no allocator of its own, and aborts).
#
# calls: public functions; allocations_failed: runs in which one, or all from one on, failed; leaks:
# blocks of memory, and locks that stayed on the server; without_status: runs that ended in neither
# success nor REDLOCK_ERR_MEMORY

. tests/support/versions.sh
[ $# = 0 ] || { echo "usage: tests/campaign alloc" && exit 2; }

calls=0 allocations_failed=0 crashes=0 leaks=0 without_status=0 failed=0

# figures <log>: adds up what one run told
figures() {
    crashes=$((crashes + $(grep -cE 'ERROR: AddressSanitizer|: runtime error:' "$1")))
    leaks=$((leaks + $(grep -c 'Direct leak of' "$1")))
    # shellcheck disable=SC2046 # a list of words
    set -- $(sed -n '/^calls=/s/[a-z_]*=//gp' "$1")
    [ $# = 4 ] || { crashes=$((crashes + 1)) && return; }
    calls=$1
    allocations_failed=$((allocations_failed + $2))
    leaks=$((leaks + $3))
    without_status=$((without_status + $4))
}

# starve <run> <argument of cmake ...>
starve() {
    directory=build/alloc-$1 log=build/alloc-$1/alloc.log
    shift
    build "$directory" live_allocation --preset asan -DCMAKE_C_FLAGS=-DREDLOCK_TEST_STARVES_ALL \
        -DCMAKE_EXE_LINKER_FLAGS=-Wl,--wrap=calloc "$@"
    echo "== $directory"
    "$directory/tests/live_allocation" >"$log" 2>&1 || { failed=1 && grep -vE 'RUN|  OK' "$log"; }
    figures "$log"
}

starve system
if provide_hiredis; then starve hiredis-1.2.0 -DREDLOCK_HIREDIS_ROOT="$hiredis_prefix"
else echo "skipped: hiredis 1.2.0 (its source package cannot be had)"
fi
echo "calls=$calls allocations_failed=$allocations_failed crashes=$crashes leaks=$leaks" \
    "without_status=$without_status"
[ "$((failed + crashes + leaks + without_status))" = 0 ] && [ "$calls" -gt 0 ]
