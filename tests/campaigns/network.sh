# SPDX-License-Identifier: MIT
# The network: packets from client to server are dropped for seconds.
# Client and server are in two network namespaces (as root).
#
#     tests/campaign network [--seconds N]
#
# Windows of 2.2, 3.4, 4.5, 7 and 14 s of silence in turn, until N seconds (10) have passed. In
# each, an acquire is tried, waited for, cancelled, and waited for until the network speaks again; a
# kernel sends again what was not delivered. A skip is printed where there are no namespaces.
#
# given_up: acquires that failed; granted: those that outlasted the silence; undone: requests
# without an answer that were undone; granted_later, held_by_nobody: what must not be

seconds=10
while [ $# -ge 2 ] && [ "$1" = --seconds ]; do
    seconds=$2
    shift 2
done
[ $# = 0 ] || { echo "usage: tests/campaign network [--seconds N]" && exit 2; }
bootstrap network

near=redlock-near-$$ far=redlock-far-$$ address=10.213.77.2
skip_all() {
    echo "skipped: $1"
    exit 77
}
[ "$(id -u)" = 0 ] || skip_all "network namespaces are root's"
has ip || skip_all "there is no ip of iproute2"
ip netns add $near 2>/dev/null || skip_all "this system gives no network namespace"
place=$(mktemp -d /tmp/redlock-network-XXXXXX)
server=
clean_up() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    ip netns del $near 2>/dev/null
    ip netns del $far 2>/dev/null
    rm -rf "$place"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

ip netns add $far &&
    ip -n $near link add veth0 type veth peer name veth0 netns $far &&
    ip -n $near addr add 10.213.77.1/24 dev veth0 && ip -n $near link set veth0 up &&
    ip -n $far addr add $address/24 dev veth0 && ip -n $far link set veth0 up ||
    skip_all "no pair of interfaces"
# What is sent to an address of nobody's is dropped; the way back stays open.
hardware=$(ip -n $far -o link show veth0 | sed 's/.*link.ether \([^ ]*\).*/\1/')
neighbour="ip -n $near neigh replace $address dev veth0 nud permanent lladdr"
$neighbour "$hardware" || skip_all "no neighbours can be set"

build build/campaign network
program=${REDLOCK_TEST_SERVER:-$(command -v redis-server || command -v valkey-server)}
ip netns exec $far "$program" --bind $address --port 6379 --unixsocket "$place/socket" --save '' \
    --protected-mode no --dir "$place" >"$place/log" 2>&1 &
server=$!
tries=0
until [ -S "$place/socket" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$place/log" && exit 2; }
    sleep 0.1
done
ip netns exec $near build/campaign/tests/network "redis://$address:6379" "$place/socket" \
    "$neighbour 02:00:00:00:00:99" "$neighbour $hardware" "$seconds"
