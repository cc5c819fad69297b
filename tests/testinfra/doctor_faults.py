# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults of hosts, Docker and the overlay of Open vSwitch that the doctor has to explain, each with what it has to say."""

from __future__ import annotations

from doctor_helpers import Fault
from overlay_helpers import NAMES, UNDERLAY

ONE, TWO, THREE = NAMES[:3]
OVS = "ovs-vsctl --timeout=15"
SITE = "crosshost.overlay.site"
# An address of the underlay that no host has.
NOBODY = UNDERLAY[ONE].rpartition(".")[0] + ".99"


def foreign(first_key: int) -> str:
    """A bridge of somebody else on the first host, with a tunnel to the second."""
    options = f"options:remote_ip={UNDERLAY[TWO]} options:local_ip={UNDERLAY[ONE]} options:key={first_key}"
    return (
        f"{OVS} -- add-br br-foreign -- set Bridge br-foreign datapath_type=netdev -- add-port br-foreign foreign"
        f" -- set Interface foreign type=gre {options}"
    )


def mesh_faults() -> list[Fault]:
    """Tunnels, bridges and what ties them to Docker."""
    return [
        Fault(
            name="keys differ",
            row=72,
            backend="ovs_gre",
            cause={ONE: f"{OVS} set Interface gre-{TWO} options:key=9"},
            finding="gre-key-mismatch",
            hosts=(ONE, TWO),
            says=("key", SITE),
        ),
        Fault(
            name="key that is no number counts as 0",
            row=12,
            backend="ovs_gre",
            cause={TWO: f"{OVS} set Interface gre-{THREE} options:key=abc"},
            finding="tunnel-options-refused",
            hosts=(TWO, THREE),
            says=("key=abc is no number", SITE),
        ),
        Fault(
            name="tunnel to nobody",
            row=73,
            backend="ovs_gre",
            cause={ONE: f"{OVS} set Interface gre-{TWO} options:remote_ip={NOBODY}"},
            finding="gre-remote-mismatch",
            hosts=(ONE, TWO),
            says=(NOBODY, SITE),
        ),
        Fault(
            name="tunnel at one end only",
            row=64,
            backend="ovs_gre",
            cause={TWO: f"{OVS} del-port gre-{THREE}"},
            finding="gre-one-way",
            hosts=(TWO, THREE),
            says=(f"{TWO} has no tunnel to {THREE}", SITE),
        ),
        Fault(
            name="second tunnel with the same ends and key",
            row=61,
            backend="ovs_gre",
            # Open vSwitch complains, ends well, and keeps the row.
            cause={ONE: foreign(1)},
            finding="tunnel-duplicate",
            hosts=(ONE,),
            says=("foreign", "del-port"),
            undo={ONE: f"{OVS} --if-exists del-br br-foreign"},
        ),
        Fault(
            name="tunnel made like another later on",
            row=62,
            backend="ovs_gre",
            cause={ONE: f"{foreign(5)} && {OVS} set Interface foreign options:key=1"},
            finding="tunnel-duplicate",
            hosts=(ONE,),
            says=("foreign", "del-port"),
            undo={ONE: f"{OVS} --if-exists del-br br-foreign"},
        ),
        Fault(
            name="address of nobody's set on a living tunnel",
            row=63,
            backend="ovs_gre",
            cause={THREE: f"{OVS} set Interface gre-{ONE} options:remote_ip=224.0.0.1"},
            finding="gre-remote-mismatch",
            hosts=(THREE, ONE),
            says=(f"gre-{ONE}", "224.0.0.1", SITE),
        ),
        Fault(
            name="one host relays",
            row=60,
            backend="ovs_gre",
            cause={
                ONE: f"{OVS} -- set Port gre-{TWO} protected=false -- set Port gre-{THREE} protected=false",
            },
            finding="port-unprotected",
            hosts=(ONE,),
            says=("protected", SITE),
        ),
        Fault(
            name="loop",
            row=60,
            backend="ovs_gre",
            cause={
                name: OVS
                + "".join(f" -- set Port gre-{other} protected=false" for other in (ONE, TWO, THREE) if other != name)
                for name in (ONE, TWO, THREE)
            },
            finding="bridge-loop",
            hosts=(ONE, TWO, THREE),
            says=("protected", SITE),
        ),
        Fault(
            name="no link between Docker's bridge and the tunnels",
            row=0,
            backend="ovs_gre",
            cause={ONE: "ip link set ovl-link nomaster"},
            finding="link-missing",
            hosts=(ONE,),
            says=("ovl-link", "ovl0"),
        ),
        Fault(
            name="link port removed",
            row=0,
            backend="ovs_gre",
            cause={TWO: f"{OVS} del-port ovl-link"},
            finding="link-missing",
            hosts=(TWO,),
            says=("ovl0", SITE),
        ),
        Fault(
            name="underlay carries less than the overlay needs",
            row=57,
            backend="ovs_gre",
            # The bridge that the card is in takes the smaller size over.
            cause={TWO: "ip link set eth1 mtu 1400"},
            sign=(TWO, "ip link show br-phy | grep -q 'mtu 1400'"),
            finding="mtu-too-large",
            hosts=(TWO,),
            says=("1400", "ip link set dev eth1 mtu 1500"),
            undo={TWO: "ip link set eth1 mtu 1500"},
        ),
        Fault(
            name="checksums left to a card that has none",
            row=69,
            backend="ovs_gre",
            cause={ONE: "ethtool -K eth1 tx on"},
            finding="offload-on",
            hosts=(ONE,),
            says=("eth1",),
        ),
        Fault(
            name="underlay address taken off the bridge",
            row=67,
            backend="ovs_gre",
            cause={THREE: f"ip address del {UNDERLAY[THREE]}/24 dev br-phy"},
            finding="tunnel-egress-missing",
            hosts=(THREE,),
            says=("br-phy",),
        ),
        Fault(
            name="Open vSwitch ended with --cleanup",
            row=71,
            backend="ovs_gre",
            # The unit that would put it right after the next boot is what somebody has turned off, too.
            cause={
                TWO: "systemctl stop crosshost-overlay.service; ovs-appctl --timeout=15 exit --cleanup; sleep 1;"
                " systemctl restart openvswitch-switch; sleep 1;"
                f" ip address del {UNDERLAY[TWO]}/24 dev br-phy 2>/dev/null || true"
            },
            finding="tunnel-egress-missing",
            hosts=(TWO,),
            says=("br-phy",),
        ),
        Fault(
            name="switch daemon stopped",
            row=65,
            backend="ovs_gre",
            # systemctl would stop the database with it.
            cause={ONE: "ovs-appctl --timeout=15 exit; sleep 1"},
            finding="ovs-vswitchd-down",
            hosts=(ONE,),
            says=("systemctl", "openvswitch-switch"),
        ),
        Fault(
            name="database stopped",
            row=66,
            backend="ovs_gre",
            cause={TWO: "systemctl stop ovsdb-server"},
            finding="ovs-database-down",
            hosts=(TWO,),
            says=("systemctl", "openvswitch-switch"),
        ),
    ]


def host_faults() -> list[Fault]:
    """Docker, firewalls, routes, addresses, disks."""
    return [
        Fault(
            name="Docker stopped",
            row=15,
            backend="ovs_gre",
            cause={THREE: "systemctl stop docker.socket docker"},
            finding="docker-stopped",
            hosts=(THREE,),
            says=("systemctl", "docker"),
        ),
        Fault(
            name="Docker hangs",
            row=15,
            backend="ovs_gre",
            cause={TWO: "kill -STOP $(pidof dockerd)"},
            finding="docker-hangs",
            hosts=(TWO,),
            says=("systemctl", "docker"),
            undo={TWO: "kill -CONT $(pidof dockerd)"},
        ),
        Fault(
            name="Docker's network removed",
            row=0,
            backend="ovs_gre",
            cause={THREE: "docker network rm overlay"},
            finding="docker-network-missing",
            hosts=(THREE,),
            says=("overlay", SITE),
        ),
        Fault(
            name="two hosts give out the same addresses",
            row=2,
            backend="ovs_gre",
            cause={
                THREE: "i=$(docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' overlay);"
                " l=$(docker network inspect -f '{{index .Labels \"crosshost.overlay\"}}' overlay);"
                " docker network rm overlay; docker network create --driver bridge --subnet $i --ip-range 10.50.0.0/24"
                " --label crosshost.overlay=$l --gateway 10.50.0.254 -o com.docker.network.bridge.name=ovl0 -o com.docker.network.driver.mtu=1458 overlay;"
                " ip link set ovl-link master ovl0"
            },
            finding="slices-overlap",
            hosts=(ONE, THREE),
            says=("10.50.0.0/24", "10.50.2.0/24", SITE),
        ),
        Fault(
            name="Docker's chains flushed",
            row=52,
            backend="ovs_gre",
            cause={THREE: "nft delete table ip filter; nft delete table ip nat"},
            finding="docker-chains-missing",
            hosts=(THREE,),
            says=("docker",),
        ),
        Fault(
            name="what is forwarded is dropped, and bridges are asked",
            row=44,
            backend="ovs_gre",
            cause={
                TWO: "sysctl -qw net.bridge.bridge-nf-call-iptables=1; iptables -I FORWARD 1 -j DROP",
            },
            finding="bridge-filtered",
            hosts=(TWO,),
            says=("bridge", SITE),
            undo={TWO: "sysctl -qw net.bridge.bridge-nf-call-iptables=0; iptables -D FORWARD -j DROP"},
        ),
        Fault(
            name="a second firewall drops what is forwarded",
            row=45,
            backend="ovs_gre",
            cause={
                ONE: "sysctl -qw net.bridge.bridge-nf-call-iptables=1; nft add table inet foreign;"
                " nft add chain inet foreign forward '{ type filter hook forward priority 10; policy drop; }'"
            },
            finding="forward-drop",
            hosts=(ONE,),
            says=("FORWARD is DROP", SITE),
            undo={ONE: "sysctl -qw net.bridge.bridge-nf-call-iptables=0; nft delete table inet foreign"},
        ),
        Fault(
            name="rules of the old and the new iptables at once",
            row=46,
            backend="ovs_gre",
            cause={
                THREE: "sysctl -qw net.bridge.bridge-nf-call-iptables=1; iptables-legacy -P FORWARD DROP",
            },
            finding="forward-drop",
            hosts=(THREE,),
            says=("iptables-legacy", SITE),
            undo={THREE: "sysctl -qw net.bridge.bridge-nf-call-iptables=0; iptables-legacy -P FORWARD ACCEPT"},
        ),
        Fault(
            name="route into the pool",
            row=7,
            backend="ovs_gre",
            cause={TWO: f"ip route add 10.50.128.0/17 via {UNDERLAY[ONE]}"},
            finding="pools-overlap",
            hosts=(TWO,),
            says=("10.50.128.0/17",),
            by_hand={TWO: "ip route del 10.50.128.0/17"},
        ),
        Fault(
            name="an underlay address twice",
            row=2,
            backend="ovs_gre",
            cause={THREE: f"ip address add {UNDERLAY[ONE]}/24 dev br-phy"},
            finding="address-twice",
            hosts=(ONE, THREE),
            says=(UNDERLAY[ONE],),
            by_hand={THREE: f"ip address del {UNDERLAY[ONE]}/24 dev br-phy"},
        ),
        Fault(
            name="forwarding turned off",
            row=44,
            backend="ovs_gre",
            cause={ONE: "sysctl -qw net.ipv4.ip_forward=0"},
            finding="ip-forward-off",
            hosts=(ONE,),
            says=("net.ipv4.ip_forward=1",),
        ),
        Fault(
            name="disk full",
            row=82,
            backend="ovs_gre",
            cause={
                TWO: "cp -a /var/lib/crosshost-overlay /root/kept && mount -t tmpfs -o size=64k tmpfs /var/lib/crosshost-overlay &&"
                " cp -a /root/kept/. /var/lib/crosshost-overlay/; cat /dev/zero > /var/lib/crosshost-overlay/filler || true"
            },
            finding="disk-full",
            hosts=(TWO,),
            says=("/var/lib/crosshost-overlay",),
            by_hand={TWO: "umount /var/lib/crosshost-overlay && rm -rf /root/kept"},
        ),
        Fault(
            name="/etc read-only",
            row=82,
            backend="ovs_gre",
            cause={ONE: "mount --bind /etc /etc && mount -o remount,bind,ro /etc"},
            finding="read-only-etc",
            hosts=(ONE,),
            says=("/etc",),
            by_hand={ONE: "umount /etc"},
        ),
        Fault(
            name="cloned host",
            row=9,
            backend="ovs_gre",
            cause={
                ONE: "cp /etc/machine-id /root/kept-id; echo 0123456789abcdef0123456789abcdef > /etc/machine-id",
                THREE: "cp /etc/machine-id /root/kept-id; echo 0123456789abcdef0123456789abcdef > /etc/machine-id",
            },
            finding="machine-id-clone",
            hosts=(ONE, THREE),
            says=("machine-id",),
            by_hand={
                ONE: "cat /root/kept-id > /etc/machine-id; rm /root/kept-id",
                THREE: "cat /root/kept-id > /etc/machine-id; rm /root/kept-id",
            },
        ),
    ]
