# SPDX-License-Identifier: MIT
# The simulator: the library and its scripts against seeded faults, on a virtual clock.
#
#     tests/campaign sim [--portions | --limits] --schedules N [--seed S] [--workers W]
#                        [--trace] [--shrink]
#
# The seed is printed; a violation is replayed by its own seed, with --schedules 1 --trace, and told
# shorter with --shrink. With --portions the library does everything that it does in portions one at
# a time; with --limits the limits of the scripts are so small that a schedule reaches them.

target=sim
case ${1:-} in
--portions) target=sim_portions ;;
--limits) target=sim_limits ;;
esac
[ $target = sim ] || shift
build build/campaign $target
exec build/campaign/tests/$target "$@"
