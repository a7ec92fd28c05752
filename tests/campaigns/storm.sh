# SPDX-License-Identifier: MIT
# The storms: threads that make every call in bad weather, under two sanitizers.
#
#     tests/campaign storm [--seconds N] [--seed S]
#
# The address and the thread sanitizer have N seconds (60) each for a wide storm, in which clients
# are closed and opened again, and as many for a narrow one, over two names and one owner, which
# leaves nothing on the server. The seed decides what the threads do; not when.
#
# operations: submitted, each of them completed once; closings: clients closed meanwhile

REDLOCK_STORM_SECONDS=60
while [ $# -ge 2 ]; do
    case $1 in
    --seconds) REDLOCK_STORM_SECONDS=$2 ;;
    --seed) REDLOCK_STORM_SEED=$2 && export REDLOCK_STORM_SEED ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || { echo "usage: tests/campaign storm [--seconds N] [--seed S]" && exit 2; }
export REDLOCK_STORM_SECONDS

operations=0 closings=0 failed=0

# sail <sanitizer's preset>
sail() {
    build "build/$1" live_storm --preset "$1"
    log=build/$1/storm.log
    echo "== $1"
    $launcher "build/$1/tests/live_storm" >"$log" 2>&1 || failed=$((failed + 1))
    grep -E '^seed|FAILED|ERROR|WARNING|SUMMARY' "$log"
    set -- $(awk '/ operations, .* closings$/ { o += $1; c += $3; n++ }
        END { if (n == 2) print o, c }' "$log")
    [ $# = 2 ] || return
    operations=$((operations + $1)) closings=$((closings + $2))
}

launcher=
sail asan
launcher=$(without_randomization)
sail tsan
seconds=$((4 * REDLOCK_STORM_SECONDS))
echo "operations=$operations closings=$closings seconds=$seconds failed=$failed"
[ $failed = 0 ] && [ $operations -gt 0 ]
