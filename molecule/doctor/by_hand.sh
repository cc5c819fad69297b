#!/usr/bin/env bash
# The mesh of a tutorial: every host has a GRE tunnel to every other one, all in one bridge, and nothing keeps a broadcast from circling.
# by_hand.sh up UNDERLAY_ADDRESS PEER...   or   by_hand.sh down
set -euo pipefail

nic=eth1
if [[ $1 == down ]]; then
    address=$(ip -4 -o address show dev br-phy | awk '{print $4}')
    ovs-vsctl --timeout=15 -- del-br br0 -- del-br br-phy
    ip address add "$address" dev "$nic"
    ip link set "$nic" up
    exit
fi

own=$2
shift 2
cidr=$(ip -4 -o address show dev "$nic" | awk '{print $4}')
mac=$(cat "/sys/class/net/$nic/address")
ovs-vsctl --timeout=15 -- add-br br-phy -- set Bridge br-phy datapath_type=netdev "other_config:hwaddr=\"$mac\"" -- add-port br-phy "$nic"
ip address flush dev "$nic"
ip address add "$cidr" dev br-phy
ip link set br-phy up
ovs-vsctl --timeout=15 -- add-br br0 -- set Bridge br0 datapath_type=netdev
number=0
for peer in "$@"; do
    number=$((number + 1))
    ovs-vsctl --timeout=15 -- add-port br0 "gre$number" -- set Interface "gre$number" type=gre "options:remote_ip=$peer"
done
ip address add "10.99.0.${own##*.}/24" dev br0
ip link set br0 up
# Asks who has an address that nobody has: the broadcast that circles from now on.
ping -c 1 -W 1 10.99.0.250 >/dev/null || true
