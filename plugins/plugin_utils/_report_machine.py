# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report's page shows of each host. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_document import counted
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_markup import Child, Html, element, join
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import Map
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_svg import troubled

LISTED_HOSTS = 16
LISTED_ENDS = 12  # tunnels or connections listed even if all are up; beyond that only those that are not
MARKS = {"up": "✓ up", "pending": "… pending", "failed": "✕ down"}
Rows = list[tuple[str, Child]]


def machines(doc: Map) -> Html:
    """Return all hosts in their order; of many, those that are well are folded away behind the others."""
    trouble = troubled(doc) | {host["name"] for host in doc["hosts"] if not host["read"]}
    failing = {host["name"]: 0 for host in doc["hosts"]}
    for pair in doc["pairs"]:
        if not pair["ok"]:
            for end in {pair["source"], pair["target"]} & set(failing):
                failing[end] += 1
    shown = {host["name"]: machine(doc, host, failing[host["name"]], host["name"] in trouble) for host in doc["hosts"]}
    if len(shown) <= LISTED_HOSTS:
        return join(shown.values())
    first = [card for name, card in shown.items() if name in trouble]
    rest = [card for name, card in shown.items() if name not in trouble]
    words = f"{counted(len(rest), 'host')} without findings" if first else counted(len(rest), "host")
    return join(first, element("details", element("summary", words), rest, class_="rest"))


def machine(doc: Map, host: Map, failing: int, trouble: bool) -> Html:
    """Return the details of one host, folded; the line that stays says whether it is worth to open them."""
    findings = [item for item in doc["findings"] if host["name"] in item["hosts"] and item["severity"] != "note"]
    said = [] if host["read"] else ["✕ not read"]
    said += [f"! {counted(len(findings), 'finding')}"] if findings else []
    kind = "bad" if trouble else "ok"
    badges = [element("span", word, class_="badge bad") for word in said]
    badges += [] if said else [element("span", "! see its pairs" if trouble else "✓ well", class_=f"badge {kind}")]
    more = [host["underlay"]["address"] or "", counted(failing, "failed pair") if failing else ""]
    summary = element(
        "summary",
        element("b", element("bdi", host["name"])),
        badges,
        element("small", " · ".join(word for word in more if word)),
    )
    rows = details(host, doc["not_probed"].get(host["name"], ""))
    shown = element("dl", [join(element("dt", name), element("dd", value)) for name, value in rows])
    return element("details", summary, shown, ends(host), class_="machine")


def details(host: Map, not_probed: str) -> Rows:
    """Return what is known of a host, in words."""
    rows: Rows = [("Not read", host["reason"])] if not host["read"] else []
    rows += [("Not probed", not_probed)] if not_probed else []
    underlay, clock = host["underlay"], host["clock"]
    rows += [
        (name, host[key])
        for name, key in (("Host name", "hostname"), ("System", "system"), ("Kernel", "kernel"))
        if host[key]
    ]
    rows += [("Virtualization", host["virtualization"])] if host["virtualization"] not in (None, "none") else []
    if underlay["interface"]:
        rows.append(("Underlay", f"{underlay['address']} on {underlay['interface']}, MTU {underlay['mtu']}"))
    rows += [("Docker", engine(host["docker"]))] if host["docker"] else []
    if host["openvswitch"] and (host["openvswitch"]["installed"] or host["openvswitch"]["tunnels"]):
        rows.append(("Open vSwitch", engine(host["openvswitch"])))
    if host["weave"] and (host["weave"]["container"] or host["weave"]["connections"]):
        rows.append(("Weave Net", router(host["weave"])))
    rows += [("Clock", clock_text(clock))] if clock else []
    if host["firewalls"]:
        rows.append(("Firewalls", ", ".join(firewall(item) for item in host["firewalls"])))
    rows += [(f"Not read: {section}", why) for section, why in host["errors"].items()]
    return rows


def engine(have: Map) -> str:
    """Return version and state of a daemon."""
    if have["installed"] is False:
        return "not installed"
    state = "" if have["running"] else "does not run" if have["running"] is False else ""
    return ", ".join(word for word in (have["version"], state, have["error"]) if word) or "installed"


def router(have: Map) -> str:
    """Return version and state of the router."""
    words = (have["version"], have["container"] and f"container {have['container']}", have["peer_name"], have["error"])
    return ", ".join(word for word in words if word)


def firewall(item: Map) -> str:
    """Return a firewall and whether it matters."""
    acts = {True: "has rules that can stop packets", False: "stops nothing"}.get(item["acts"])
    return f"{item['name']} ({acts})" if acts else str(item["name"])


def clock_text(clock: Map) -> str:
    """Return how far the clock is off, and who keeps it."""
    words = []
    if clock["offset_seconds"] is not None:
        bound = f" ± {seconds(clock['bound_seconds'])}" if clock["bound_seconds"] is not None else ""
        words.append(f"{seconds(clock['offset_seconds'], sign=True)}{bound} from the controller's")
    words.append(f"kept by {clock['daemon']}" if clock["daemon"] else "no time daemon is known")
    words += ["not synchronised"] if clock["synchronised"] is False else []
    return ", ".join(words)


def seconds(value: float, sign: bool = False) -> str:
    """Return a time in the unit that fits it."""
    plus = "+" if sign else ""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms")):
        if abs(value) < limit:
            return f"{value * factor:{plus}.3g} {unit}"
    return f"{value:{plus}.3g} s" if abs(value) < 1000 else f"{value:{plus},.0f} s"


def ends(host: Map) -> Html | None:
    """Return the tunnels and connections of a host: all if they are few, else those that are not up."""
    tunnels = (host["openvswitch"] or {}).get("tunnels", [])
    connections = (host["weave"] or {}).get("connections", [])
    if not tunnels and not connections:
        return None
    rows = [_tunnel(item) for item in tunnels] + [_connection(item) for item in connections]
    bad = [row for row, item in zip(rows, [*tunnels, *connections], strict=True) if item["state"] != "up"]
    said = None
    if len(rows) > LISTED_ENDS:
        said = element(
            "p",
            f"{len(rows) - len(bad)} of {len(rows)} tunnels and connections are up" + ("; the others:" if bad else "."),
        )
        rows = bad
    if not rows:
        return said
    head = element("thead", element("tr", [element("th", word, scope="col") for word in ("To", "By", "State", "")]))
    table = element(
        "table",
        element("caption", f"Tunnels and connections of {host['name']}", class_="hidden"),
        head,
        element("tbody", rows),
        class_="list ends",
    )
    return join(
        said,
        element(
            "div",
            table,
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"Tunnels and connections of {host['name']}",
        ),
    )


def _row(to: str, by: str, state: str, more: str) -> Html:
    bad = "bad" if state == "failed" else None
    return element(
        "tr",
        element("th", element("bdi", to), scope="row"),
        element("td", by),
        element("td", MARKS[state], class_=bad),
        element("td", more),
    )


def _tunnel(item: Map) -> Html:
    to = f"{item['peer']} ({item['remote']})" if item["peer"] else item["remote"]
    return _row(to, f"{item['type']} {item['name']} on {item['bridge']}", item["state"], item["error"] or "")


def _connection(item: Map) -> Html:
    to = f"{item['peer']} ({item['address']})" if item["peer"] else item["address"]
    words: list[t.Any] = [
        "weave",
        item["mode"],
        "encrypted" if item["encrypted"] else None,
        item["mtu"] and f"MTU {item['mtu']}",
    ]
    return _row(to, ", ".join(str(word) for word in words if word), item["state"], item["info"])
