# SPDX-License-Identifier: MIT
# The explorer: every order of events of one hold, with larger bounds than in the tests.
#
#     tests/campaign explore --deep
#     tests/campaign explore --bounds CALLS OTHERS LAPSES CLOSES FORCES LOSSES [--break RULE]
#
# Without a fault it prints a line for each configuration; a fault comes with the shortest way to
# it. --deep wants 4 GB of memory.

build build/campaign explore_small
exec build/campaign/tests/explore/explore "$@"
