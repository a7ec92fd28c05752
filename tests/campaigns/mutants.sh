# SPDX-License-Identifier: MIT
# The mutants: deliberate faults, every one of which the simulator, or a test, has to find.
#
#     tests/campaign mutants [--only NN] [--slice K] [--schedules N] [--seed S] [--jobs J]
#
# A mutant is a patch in tests/mutants; the line above its diff says which promise it breaks. Each
# is applied to a copy of the tree, built, and simulated until a schedule shows it: as a violation,
# or as a crash or a hang of the library. One that shows in none of N schedules has survived, and
# the simulator lacks a check. A line `simulator: sim_limits` in the patch names another build of
# it; `test: ring.name` a test that has to fail instead, where no schedule can show it. --only takes
# the first digits of a name, --slice K mutants spread over the list.

mutants=build/mutants
work=$mutants/tree
only='' slice='' schedules=10000 seed=1 jobs=$(nproc)
speed=-O1 # what is simulated at length is to be fast; a slice is sooner built than run

# A schedule that does not end is stopped by the simulator itself; a simulator that does not end,
# after so long.
most_seconds=300

read_options() {
    while [ $# -gt 1 ]; do
        case $1 in
        --only) only=$2 ;;
        --slice) slice=$2 speed=-O0 ;;
        --schedules) schedules=$2 ;;
        --seed) seed=$2 ;;
        --jobs) jobs=$2 ;;
        *) usage 2 ;;
        esac
        shift 2
    done
    [ $# = 0 ] || usage 2
}

# A slice has none that needs a test of its own: all of them would have to be built.
chosen() {
    ls tests/mutants/"$only"*.patch |
        if [ -n "$slice" ]; then xargs grep -L '^test: '; else cat; fi |
        awk -v most="$slice" '{ all[NR] = $0 }
            END {
                if (!most || most > NR) most = NR
                for (i = 0; i < most; i++) print all[int(i * NR / most) + 1]
            }'
}

copy_tree() {
    rm -rf "$mutants"
    mkdir -p "$work"
    cp -R CMakeLists.txt cmake docs include lua src tests "$work"
}

build_first() {
    (cd "$work" && build build sim -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_C_FLAGS_RELWITHDEBINFO="$speed" -DREDLOCK_ASSERTIONS=ON \
        -DREDLOCK_BUILD_EXAMPLES=OFF) || exit 2
}

give_up() {
    tail -20 "$log"
    echo "$1: $log"
    exit 2
}

# change <option of patch ...> <patch>
change() { patch -d "$work" -p1 --fuzz=0 --batch "$@" >"$log" 2>&1; }
# told <key> <patch>: what the patch says of it
told() { sed -n "/^---/q;s/^$1: //p" "$2"; }

build_again() { cmake --build "$work/build" -j"$jobs" --target "$1" >"$log" 2>&1; }

# simulate <seed> <schedules>: succeeds when no promise broke
simulate() {
    timeout "$most_seconds" "$work/build/tests/$simulator" --seed "$1" --schedules "$2" \
        --workers "$jobs" >"$log" 2>&1
}

# hunt: in portions that grow, for most mutants show at once; $verdict is how the fault showed, ""
# if it did not
hunt() {
    verdict='' needed=0 portion=64
    while [ -z "$verdict" ] && [ "$needed" -lt "$schedules" ]; do
        [ $((needed + portion)) -le "$schedules" ] || portion=$((schedules - needed))
        simulate $((seed + needed)) "$portion"
        judge $?
        [ -n "$verdict" ] || needed=$((needed + portion))
        portion=$((portion * 8))
    done
}

# target_of <test or simulator>
target_of() { echo "$1" | tr . _; }

passes() { ctest --test-dir "$work/build" -R "^$1\$" --no-tests=error >"$log" 2>&1; }

# examine <ring.name>: the test is to fail
examine() {
    needed=0 verdict='' reason=''
    passes "$1" || verdict=test reason=": $1"
}

# judge <exit status of the simulator>: reads what it said
judge() {
    [ "$1" = 0 ] && return
    reason=$(sed -n 's/^violation seed=//p' "$log" | sort -n | head -1)
    if [ -n "$reason" ]; then
        verdict=violation
    elif [ "$1" = 124 ] || grep -q 'died with signal 27' "$log"; then
        verdict=hang reason=$(last_seed)
    elif grep -q 'died with signal' "$log"; then
        verdict=crash reason=$(last_seed)
    else
        give_up "the simulator failed"
    fi
    needed=$((${reason%%:*} - seed + 1))
}

# The schedule that a worker died in is the last of one of them.
last_seed() {
    last=$(sed -n 's/^worker .* was last at seed=//p' "$log" | sort -n | tail -1)
    echo "${last:-$((seed + needed))}: $(grep -m 1 -e 'Assertion' -e 'died with signal' "$log")"
}

# tell <name>
tell() {
    [ -n "$verdict" ] || reason='' verdict=SURVIVED
    printf '%-58s %-10s %6d %s\n' "$1" "$verdict" "$needed" "${reason#*: }"
}

try() {
    name=$(basename "$1" .patch)
    log=$mutants/$name.log
    test=$(told test "$1") simulator=$(told simulator "$1")
    simulator=${simulator:-sim}
    if [ -n "$test" ]; then
        build_again "$(target_of "$test")" && passes "$test" ||
            give_up "$test fails without the mutant"
    fi
    change <"$1" || give_up "$name does not apply"
    build_again "$(target_of "${test:-$simulator}")" || give_up "$name does not compile"
    if [ -n "$test" ]; then examine "$test"; else hunt; fi
    tell "$name"
    change -R <"$1" || give_up "$name cannot be taken back"
    tried=$((tried + 1))
    [ "$verdict" = SURVIVED ] && return
    killed=$((killed + 1))
    [ "$needed" -le "$most" ] || most=$needed
}

read_options "$@"
unharmed=$schedules
[ -z "$slice" ] || unharmed=1000 # whoever runs a slice runs the simulator at length besides
has patch || { echo "missing: patch" && exit 2; }
began=$(date +%s) tried=0 killed=0 most=0
copy_tree
build_first
log=$mutants/none.log
for simulator in sim sim_limits; do
    build_again $simulator || give_up "$simulator does not compile"
    simulate "$seed" "$unharmed" || give_up "without a mutant"
    echo "without a mutant: $simulator: $(tail -1 "$log")"
done
for patch in $(chosen); do try "$patch"; done
echo "mutants=$tried killed=$killed most_schedules=$most seconds=$(($(date +%s) - began))" \
    "seed=$seed"
[ "$tried" -gt 0 ] && [ "$killed" = "$tried" ]
