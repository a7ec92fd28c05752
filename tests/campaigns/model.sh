# SPDX-License-Identifier: MIT
# The model: random calls on a real server, compared with a model of the scripts.
# Compared are each answer and the whole lock.
#
#     tests/campaign model --sequences N [--seed S]
#
# Half of the sequences meet scripts with small limits. One that differs is printed, as short as it
# can be made; its own seed, with --sequences 1, plays it again. The server is
# $REDLOCK_TEST_SERVER, or the first on the PATH.

build build/campaign model
exec build/campaign/tests/model/model "$@"
