# SPDX-License-Identifier: MIT
# The simulator: the library and its scripts against seeded faults, on a virtual clock.
#
#     tests/campaign sim [--portions] --schedules N [--seed S] [--workers W] [--trace] [--shrink]
#
# The seed is printed; a violation is replayed by its own seed, with --schedules 1 --trace, and told shorter with
# --shrink. With --portions the library does everything that it does in portions one at a time.

target=sim
if [ "${1:-}" = --portions ]; then
    target=sim_portions
    shift
fi
build build/campaign $target
exec build/campaign/tests/$target "$@"
