# SPDX-License-Identifier: MIT
# The faults: workers on a real server, while processes, server and network fail.
# A checker reads what they wrote.
#
#     tests/campaign faults --seconds N [--seed S] [--pace MS]
#     tests/campaign faults --rounds R [--seed S] [--pace MS]
#
# A round deals every kind of fault once, one every MS (4500) on average. The seed decides their
# order, victims and lengths.

build build/campaign faults
exec build/campaign/tests/faults/faults "$@"
