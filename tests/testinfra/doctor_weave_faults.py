# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults of Weave Net that the doctor has to explain, each with what it has to say."""

from __future__ import annotations

from doctor_helpers import Fault
from overlay_helpers import NAMES, UNDERLAY

ONE, TWO, THREE = NAMES[:3]
SITE = "crosshost.overlay.site"
ASK = "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:6784/status/%s', timeout=5).read().decode())\""
CONNECTIONS, PEERS = ASK % "connections", ASK % "peers"


def again(name: str, arguments: str = "", environment: str = "", keep: str = "name|ipalloc-init|ipalloc-range") -> str:
    """Somebody launches the router of a host by hand, with other arguments than before."""
    peers = " ".join(address for other, address in UNDERLAY.items() if other != name)
    return (
        "kept=$(docker inspect -f '{{range .Args}}{{println .}}{{end}}' weave |"
        f" grep -E -A 1 -e '^--({keep})$' | grep -v -e '^--$'; docker inspect -f '{{{{range .Args}}}}{{{{println .}}}}{{{{end}}}}' weave |"
        f" grep -E -e '^--({keep})=');"
        f" weave stop > /dev/null; {environment} weave launch --no-detect-tls $kept {arguments} {peers} > /dev/null"
    )


def shown(name: str, text: str) -> tuple[str, str]:
    """The sign of a fault: the router's own list of connections has this text."""
    return name, f"{CONNECTIONS} | grep -q '{text}'"


def router_faults() -> list[Fault]:
    """Containers, ports and processes of one host."""
    return [
        Fault(
            name="router stopped",
            row=22,
            backend="weave",
            cause={ONE: "docker stop weave"},
            finding="weave-router-state",
            hosts=(ONE,),
            says=("has ended", "docker start weave"),
        ),
        Fault(
            name="router paused",
            row=22,
            backend="weave",
            cause={TWO: "docker pause weave"},
            finding="weave-router-state",
            hosts=(TWO,),
            says=("paused", "docker unpause weave"),
        ),
        Fault(
            name="router created and never started",
            row=22,
            backend="weave",
            cause={
                THREE: "i=$(docker inspect -f '{{.Config.Image}}' weave); docker rm -f weave; docker create --name weave $i --port 6783"
            },
            finding="weave-router-state",
            hosts=(THREE,),
            says=("created", SITE),
        ),
        Fault(
            name="container of somebody else called weave",
            row=23,
            backend="weave",
            cause={
                ONE: "docker stop weave && docker rename weave kept && docker run -d --name weave --entrypoint /bin/sleep"
                " $(docker inspect -f '{{.Config.Image}}' kept) 3600"
            },
            finding="weave-foreign-container",
            hosts=(ONE,),
            says=("docker rename weave", SITE),
            undo={ONE: "docker rm -f weave-other kept"},
        ),
        Fault(
            name="port of the router taken",
            row=26,
            backend="weave",
            cause={
                TWO: "docker stop weave; setsid python3 -m http.server 6783 > /dev/null 2>&1 < /dev/null & sleep 1; docker start weave; sleep 2",
            },
            finding="port-taken",
            hosts=(TWO,),
            says=("tcp port 6783", "python3"),
            by_hand={TWO: "pkill -f '[h]ttp.server 6783'; docker restart weave"},
        ),
        Fault(
            name="network of the plugin removed",
            row=0,
            backend="weave",
            cause={THREE: "docker network rm weave"},
            finding="weave-plugin-down",
            hosts=(THREE,),
            says=("plugin", "weave"),
        ),
    ]


def link_faults() -> list[Fault]:
    """Routers that do not let each other in, and firewalls between them."""
    return [
        Fault(
            name="password on one host only",
            row=10,
            backend="weave",
            cause={THREE: again(THREE, environment="WEAVE_PASSWORD=Kanarienvogel-1")},
            finding="weave-password-missing",
            hosts=(THREE,),
            says=("password", SITE),
            sign=shown(THREE, "password specified"),
        ),
        Fault(
            name="passwords differ",
            row=10,
            backend="weave",
            cause={
                name: again(name, environment=f"WEAVE_PASSWORD=Kanarienvogel-{number}")
                for name, number in ((ONE, 1), (TWO, 1), (THREE, 2))
            },
            finding="weave-password-differs",
            hosts=(THREE, ONE),
            says=("password", SITE),
            sign=shown(ONE, "decrypt"),
        ),
        Fault(
            name="names collide",
            row=9,
            backend="weave",
            cause={
                THREE: f"n=$({PEERS} | grep -m 1 -o -E '^[0-9a-f:]+[(]{ONE}[)]' | cut -d '(' -f 1); "
                + again(THREE, arguments="--name=$n", keep="ipalloc-init|ipalloc-range")
            },
            finding="weave-name-collision",
            hosts=(ONE, THREE),
            says=("name", SITE),
            sign=shown(THREE, "collision"),
        ),
        Fault(
            name="ranges differ",
            row=8,
            backend="weave",
            cause={THREE: again(THREE, arguments="--ipalloc-range=10.128.0.0/16", keep="name|ipalloc-init")},
            finding="weave-range-differs",
            hosts=(THREE,),
            says=("10.128.0.0/16", SITE),
            sign=shown(THREE, "Incompatible IP allocation ranges"),
        ),
        Fault(
            name="clock 20 minutes ahead",
            row=75,
            backend="weave",
            # Hosts that are containers share a clock: it is the stand-in's own that is ahead.
            cause={THREE: "echo 1200 > /etc/standin-clock-offset; docker restart weave"},
            finding="weave-clock-skew",
            hosts=(THREE, ONE),
            says=("clock",),
            sign=shown(THREE, "clock skew"),
            by_hand={THREE: "rm /etc/standin-clock-offset; docker restart weave"},
        ),
        Fault(
            name="fewer connections allowed than there are peers",
            row=40,
            backend="weave",
            cause={ONE: again(ONE, arguments="--conn-limit=1")},
            finding="weave-connection-limit",
            hosts=(ONE,),
            says=("limit", SITE),
            sign=shown(ONE, "Connection limit reached"),
        ),
        Fault(
            name="tcp 6783 blocked",
            row=41,
            backend="weave",
            cause={TWO: "iptables -I INPUT -p tcp --dport 6783 -j DROP; docker restart weave"},
            finding="firewall-blocks",
            hosts=(TWO,),
            says=("6783", SITE),
            undo={TWO: "iptables -D INPUT -p tcp --dport 6783 -j DROP"},
        ),
        Fault(
            name="udp 6783 and 6784 blocked",
            row=42,
            backend="weave",
            cause={THREE: "iptables -I INPUT -p udp --dport 6783:6784 -j DROP; docker restart weave"},
            finding="firewall-blocks",
            hosts=(THREE,),
            says=("6784", SITE),
            undo={THREE: "iptables -D INPUT -p udp --dport 6783:6784 -j DROP"},
        ),
        Fault(
            name="udp stopped on its way out",
            row=42,
            backend="weave",
            cause={ONE: "iptables -I OUTPUT -p udp --dport 6783:6784 -j DROP; docker restart weave"},
            finding="weave-udp-blocked",
            hosts=(ONE, TWO),
            says=("udp 6783 and 6784",),
            sign=shown(ONE, "pending"),
            by_hand={ONE: "iptables -D OUTPUT -p udp --dport 6783:6784 -j DROP"},
        ),
        Fault(
            name="tcp 6783 blocked before the firewall's rules",
            row=41,
            backend="weave",
            cause={
                TWO: f"for port in sport dport; do iptables -t raw -I PREROUTING -s {UNDERLAY[ONE]} -p tcp --$port 6783 -j DROP; done;"
                " docker restart weave"
            },
            finding="weave-connection-blocked",
            hosts=(ONE, TWO),
            says=("tcp 6783",),
            sign=shown(TWO, f"{UNDERLAY[ONE]}:6783 *connecting"),
            by_hand={
                TWO: f"for port in sport dport; do iptables -t raw -D PREROUTING -s {UNDERLAY[ONE]} -p tcp --$port 6783 -j DROP; done;"
                f" weave connect {UNDERLAY[ONE]}"
            },
        ),
        Fault(
            name="firewall of one host lets the other in but not back",
            row=41,
            backend="weave",
            cause={
                TWO: f"iptables -I INPUT -s {UNDERLAY[ONE]} -p tcp --dport 6783 -j DROP;"
                f" iptables -I INPUT -s {UNDERLAY[ONE]} -p udp --dport 6783:6784 -j DROP; docker restart weave"
            },
            finding="firewall-one-way",
            hosts=(TWO, ONE),
            says=("6783", SITE),
            undo={
                TWO: f"iptables -D INPUT -s {UNDERLAY[ONE]} -p tcp --dport 6783 -j DROP;"
                f" iptables -D INPUT -s {UNDERLAY[ONE]} -p udp --dport 6783:6784 -j DROP"
            },
        ),
    ]
