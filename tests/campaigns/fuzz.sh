# SPDX-License-Identifier: MIT
# Fuzzing: hostile input to everything that reads what a server, a user or another client wrote.
#
#     tests/campaign fuzz --seconds N [--only NAME]
#
# Each target of tests/fuzz runs for N seconds under libFuzzer, with address and undefined-behaviour
# sanitizers, and goes on from the inputs that earlier runs kept in build/fuzz/corpus. Printed are
# its executions, its findings, and how much of the files that it parses those inputs cover; at the
# end the same by file, for all targets together. A finding is kept in build/fuzz/findings:
# build/fuzz/fuzz_<name> <file> repeats it.

fuzz=build/fuzz
seconds= only=
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:-} ;;
    --only) only=${2:-} ;;
    *) seconds= && break ;;
    esac
    shift "$(($# > 1 ? 2 : 1))"
done
case $seconds in
'' | *[!0-9]*) echo "usage: tests/campaign fuzz --seconds N [--only NAME]" && exit 2 ;;
esac

names=$(for file in tests/fuzz/fuzz_*.c; do basename "$file" .c | sed 's/^fuzz_//'; done)
[ -z "$only" ] || names=$only
for name in $names; do
    [ -f "tests/fuzz/fuzz_$name.c" ] || { echo "there is no target $name" && exit 2; }
done

bootstrap fuzz
build $fuzz all -S tests/fuzz -DCMAKE_C_COMPILER=clang

# The files that a target says it parses, by the paths that the compiler knows.
parsed() {
    for file in $(sed -n 's/^\/\* Parses: \(.*\) \*\/$/\1/p' "tests/fuzz/fuzz_$1.c"); do
        echo "$PWD/src/$file"
    done
}

# coverage <name ...>: "<file> <percent of lines> <percent of branches>", and the same of all files
# as TOTAL
coverage() {
    profiles= programs= files=
    for name in "$@"; do
        profiles="$profiles $fuzz/profiles/$name.profraw"
        programs="$programs${programs:+ -object} $fuzz/fuzz_$name"
        files="$files $(parsed "$name")"
    done
    # shellcheck disable=SC2086 # lists of words
    llvm-profdata merge -sparse $profiles -o $fuzz/profiles/merged.profdata &&
        llvm-cov report $programs -instr-profile=$fuzz/profiles/merged.profdata \
            $(printf '%s\n' $files | sort -u) |
        awk 'NF == 13 && $10 ~ /%$/ { gsub(/%/, ""); print $1, $10, $13 }'
}

# fuzz_one <name>: runs it, and notes what its inputs cover
fuzz_one() {
    corpus=$fuzz/corpus/$1 log=$fuzz/$1.log
    mkdir -p "$corpus" $fuzz/findings $fuzz/profiles
    LLVM_PROFILE_FILE=/dev/null $fuzz/fuzz_"$1" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$fuzz/findings/$1-" "$corpus" >"$log" 2>&1
    case $? in
    0) found=0 ;;
    72) echo "$1 was interrupted" && exit 130 ;;
    *) found=1 ;;
    esac
    LLVM_PROFILE_FILE=$fuzz/profiles/$1.profraw \
        $fuzz/fuzz_"$1" -runs=0 "$corpus" >>"$log" 2>&1 || found=1
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | head -1)
    findings=$((findings + found)) executions=$((executions + ${executed:-0}))
    fuzzers=$((fuzzers + 1))
    printf '%-10s %12s %8s ' "$1" "${executed:-0}" "$found"
    coverage "$1" | awk '{ row = $0 } END { split(row, of, " "); printf "%9s %9s  ", of[2], of[3] }'
    parsed "$1" | sed 's|.*/src/||' | paste -sd' '
    [ "$found" = 0 ] || tail -30 "$log"
}

fuzzers=0 findings=0 executions=0
printf '%-10s %12s %8s %9s %9s  %s\n' target executions findings lines% branches% parsed
for name in $names; do fuzz_one "$name"; done
printf '\n%-24s %9s %9s\n' 'all together' lines% branches%
# shellcheck disable=SC2086 # a list of words
coverage $names | tee $fuzz/coverage | awk '{ printf "%-24s %9s %9s\n", $1, $2, $3 }'
covered=$(sed -n 's/^TOTAL \([^ ]*\) .*/\1/p' $fuzz/coverage)
echo "fuzzers=$fuzzers findings=$findings executions=$executions coverage_percent=$covered"
[ "$findings" = 0 ]
