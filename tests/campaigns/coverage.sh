# SPDX-License-Identifier: MIT
# Coverage: which branches of the engine and of the wire the inner rings take.
#
#     tests/campaign coverage [--least PERCENT]
#
# Runs the unit tests, the fuzz targets' smoke tests and the simulator in a build that counts (by
# gcov, in build/campaign-coverage), and prints, by file, how much of src/engine and src/wire ran,
# with the lines that have a branch never taken. A branch of an assertion is not counted: nothing
# may take it. Fails below 95 % of the branches of either.

least=95
case ${1:-} in
'') ;;
--least) least=${2:?} ;;
*) echo "usage: tests/campaign coverage [--least PERCENT]" && exit 2 ;;
esac

coverage=build/campaign-coverage
{ has gcc && has gcov; } || { echo "missing: gcc with its gcov" && exit 2; }
build $coverage all --preset coverage -DCMAKE_C_COMPILER=gcc
find $coverage -name '*.gcda' -exec rm -f {} +
ctest --test-dir $coverage -L 'unit|sim' --output-on-failure -j"$(nproc)" \
    >$coverage/ctest.log 2>&1 || { tail -40 $coverage/ctest.log && exit 1; }

# What gcov tells of every object: an inline function of a header is in several, and its counts are
# added up.
find $coverage/src -name '*.gcda' -exec gcov -b -c -t {} + 2>/dev/null | awk -v least="$least" '
function percent(some, all) { return all > 0 ? 100 * some / all : 0 }
/^ *-: *0:Source:/ {
    file = $0
    sub(/.*:0:Source:/, "", file)
    is_ours = sub(/.*\/src\//, "", file) && file ~ /^(engine|wire)\//
}
!is_ours { next }
/^ *[^ :]+: *[0-9]+:/ {
    split($0, part, ":")
    line = part[2] + 0
    is_counted = $0 !~ /[^a-z_]assert\(/
    if (line > 0 && part[1] !~ /-/) ran[file, line] += part[1] + 0
}
/^branch / && is_counted {
    if (!((file, line, $2) in taken)) branch[++branch_count] = file SUBSEP line SUBSEP $2
    taken[file, line, $2] += $4
}
END {
    for (key in ran) {
        split(key, part, SUBSEP)
        files[part[1]]
        lines[part[1]]++
        lines_run[part[1]] += ran[key] > 0
    }
    for (i = 1; i <= branch_count; i++) {
        split(branch[i], part, SUBSEP)
        branches[part[1]]++
        branches_taken[part[1]] += taken[branch[i]] > 0
        if (taken[branch[i]] == 0) missing[part[1]] = missing[part[1]] " " part[2]
    }
    printf "%-24s %8s %8s   %s\n", "file", "lines%", "branches%", "lines with a branch never taken"
    sorted = "sort"
    for (file in files) {
        printf "%-24s %8.1f %8.1f   %s\n", file, percent(lines_run[file], lines[file]),
            branches[file] ? percent(branches_taken[file], branches[file]) : 100,
            missing[file] | sorted
        layer = substr(file, 1, index(file, "/") - 1)
        some[layer] += branches_taken[file]
        all[layer] += branches[file]
        some_lines += lines_run[file]
        all_lines += lines[file]
    }
    close(sorted)
    engine = percent(some["engine"], all["engine"])
    wire = percent(some["wire"], all["wire"])
    printf "engine_branches_percent=%.1f wire_branches_percent=%.1f lines_percent=%.1f\n",
        engine, wire, percent(some_lines, all_lines)
    exit !(engine >= least && wire >= least)
}'
