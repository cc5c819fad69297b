#!/usr/bin/env bash
# What somebody else has on a host: a container, a bridge, firewall rules, a route, settings. None of it is the overlay's.
set -euo pipefail

mkdir -p /etc/docker
printf '%s\n' '{' '  "log-opts": {"max-size": "7m"}' '}' >/etc/docker/daemon.json
systemctl restart docker
tar --create --directory=/ --transform='s,^,/,' bin/busybox 2>/dev/null | docker import - bystander:1 >/dev/null
docker network create --subnet 172.30.0.0/24 bystanders >/dev/null
docker run --detach --name bystander --restart always --network bystanders bystander:1 /bin/busybox sleep 99999 >/dev/null
docker run --detach --name bystander-default --restart always bystander:1 /bin/busybox sleep 99999 >/dev/null

ovs-vsctl --timeout=15 -- add-br br-bystander -- set Bridge br-bystander datapath_type=netdev external_ids:owner=bystander \
    -- add-port br-bystander by0 -- set Interface by0 type=internal \
    -- add-port br-bystander by-gre -- set Interface by-gre type=gre options:remote_ip=203.0.113.7 options:key=77
iptables -A INPUT -s 203.0.113.9 -m comment --comment bystander -j DROP
nft add table inet bystander
nft add chain inet bystander seen '{ type filter hook input priority 5; policy accept; }'
ip route add 203.0.113.0/24 via "$(ip -4 -o addr show eth1 | sed -E 's/.* ([0-9.]+)\.[0-9]+\/.*/\1.1/')" dev eth1
touch /root/bystander-is-set-up
