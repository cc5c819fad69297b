# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Native nftables: every base chain on the input and forward hooks judges for itself.

An accept in one base chain does not spare a packet the next one. So the openings lie in each table that stops
something: a set of peers, a chain of accepts, and one jump right before the rule that would stop the overlay.
"""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import STATUS_NOT_STARTED, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    MARK,
    Block,
    Context,
    FirewallError,
    Flow,
    LayerPlan,
    Run,
    Step,
    select,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_nft_rules import (
    PROTOCOLS,
    Chain,
    Group,
    Judge,
    Packet,
    Rule,
    Stop,
    Table,
    Text,
    looks_up,
    read,
    read_text,
    verdicts,
)

NAME = "nftables"

HOOKS = ("input", "forward")
FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
CHAINS = {"input": "crosshost_input", "forward": "crosshost_forward"}
PEERS = "crosshost_peers"  # and the address family; a second list of peers gets a number
OUR_PEERS = re.compile(r"crosshost_peers[46](_\d+)?$")
# The tables of iptables-nft, with the priority of their base chains. Their names are used by others, too.
IPTABLES = {"filter": 0, "mangle": -150, "raw": -300, "security": 50}
TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}
NUMBERS = {name: number for number, name in PROTOCOLS.items()}
MANY_PORTS = 64  # ports of a flow that are judged one by one


@dataclass(frozen=True)
class State:
    """The ruleset of a host, and whether a base chain that counts can stop anything."""

    tables: tuple[Table, ...]
    acts: bool
    notes: tuple[str, ...] = ()


@dataclass
class Openings:
    """What is ours in one table. The number of a jump is the handle of the rule it goes before, 0 for the end."""

    sets: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    jumps: dict[str, int] = field(default_factory=dict)


def observe(run: Run, context: Context) -> tuple[State, ...]:
    """Read the ruleset; nothing where no native table can matter to the overlay."""
    tables = _read(run)
    judged = []
    notes = []
    for table in tables:
        judged.append(replace(table, judged=tuple(_judged(run, table, context))))
        if table.family == "bridge" and any(
            _can_stop(table, chain) for chain in table.chains.values() if chain.kind == "filter" and chain.hook
        ):
            notes.append(
                f"nftables: table {table.id} filters on bridges; it may stop traffic of the overlay and is not opened."
            )
    acts = any(_can_stop(table, table.chains[name]) for table in judged for name in table.judged)
    if not (notes or any(table.judged or _has_ours(table) for table in judged)):
        return ()
    return (State(tuple(judged), acts, tuple(notes)),)


def _read(run: Run) -> tuple[Table, ...]:
    """The whole ruleset. Other programs may change it between the two listings: then they are read again."""
    reason = ""
    for dummy in range(3):
        words = run(["nft", "-s", "-a", "list", "ruleset"])
        if words.rc == STATUS_NOT_STARTED or "Protocol not supported" in words.err:
            return ()  # not installed, or a kernel without nf_tables
        _check(words)
        text = read_text(words.out)
        try:
            try:
                return read([_check(run(["nft", "-j", "list", "ruleset"])).out], text)
            except ValueError as exc:
                # nft 1.0.6 prints arbitrary memory as the flags of a table in JSON, and stops there if that is no text.
                reason = str(exc)
                return read(_pieces(run, text), text)
        except KeyError as exc:
            reason = f"the ruleset kept changing; {exc} was in one listing and not in the other"
        except ValueError:
            continue
    raise FirewallError(
        f"The nftables ruleset of this host cannot be read as JSON: {reason}. "
        "See what 'nft -j list ruleset' prints there; a newer package 'nftables' may cure it."
    )


def _pieces(run: Run, text: Text) -> t.Iterator[str]:
    """The ruleset without the JSON of tables that have flags."""
    for table, flags in text.tables.items():
        if not flags:
            yield _piece(run, "table", table)
            continue
        for (owner, name), kind in text.kinds.items():
            if owner == table and kind in ("chain", "set", "map"):
                yield _piece(run, kind, f"{table} {name}")


def _piece(run: Run, kind: str, name: str) -> str:
    result = run(["nft", "-j", "list", kind, *name.split()])
    if result.rc:  # it may be gone by now
        raise ValueError(result.message)
    return result.out


def _check(result: Result) -> Result:
    if result.rc == 0:
        return result
    if re.search("JSON support not compiled|(invalid|unrecognized) option", result.err):
        raise FirewallError(
            "The 'nft' of this host cannot print JSON, so its rules cannot be judged: "
            f"{result.message}. Install the distribution's package 'nftables' "
            "(0.9.0 or newer, built with JSON), then run this again.",
            result,
        )
    raise FirewallError(
        f"The nftables ruleset of this host cannot be read: {result.message}. "
        "Make 'nft list ruleset' work there as root, then run this again.",
        result,
    )


def _judged(run: Run, table: Table, context: Context) -> t.Iterator[str]:
    """The base chains that are judged here: not those of iptables-nft, firewalld and Docker."""
    if table.family not in FAMILIES or "dormant" in table.flags or table.name == "docker-bridges":
        return
    if context.firewalld == "nftables" and table.name.startswith("firewalld"):
        return
    readable: bool | None = None
    for chain in table.chains.values():
        if chain.kind != "filter" or chain.hook not in HOOKS:
            continue
        if _shared(table) and chain.name == chain.hook.upper() and chain.priority == IPTABLES[table.name]:
            readable = _iptables_reads(run, table) if readable is None else readable
            # iptables-nft leaves out the sets of a rule that has some, and so takes the rule for a wider one.
            if readable and not any(looks_up(rule) for rule in _reached(table, chain)):
                continue
        yield chain.name


def _shared(table: Table) -> bool:
    return table.family in ("ip", "ip6") and table.name in IPTABLES


def _iptables_reads(run: Run, table: Table) -> bool:
    """Whether there is iptables-nft, and it takes a table that looks like one of its own for one."""
    result = run(["iptables-nft" if table.family == "ip" else "ip6tables-nft", "-w", "10", "-t", table.name, "-S"])
    return result.rc != STATUS_NOT_STARTED and "is incompatible" not in result.out + result.err


def _reached(table: Table, chain: Chain) -> t.Iterator[Rule]:
    """The rules of a base chain and of every chain it can jump to."""
    todo, seen = [chain.name], set()
    while todo:
        name = todo.pop()
        if name in seen or name not in table.chains:
            continue
        seen.add(name)
        for rule in table.chains[name].rules:
            yield rule
            todo += [target for dummy, target in verdicts(table, rule)]


def _can_stop(table: Table, chain: Chain) -> bool:
    """Whether the base chain drops or rejects anything, itself or in a chain it jumps to."""
    return chain.policy == "drop" or any(
        kind in ("drop", "reject") for rule in _reached(table, chain) for kind, dummy in verdicts(table, rule)
    )


# --- what is ours -----------------------------------------------------------------------------------------------------


def _our_chain(name: str) -> bool:
    return name in CHAINS.values() or OUR_PEERS.match(name) is not None


def _is_ours(rule: Rule) -> bool:
    return rule.comment == MARK or any(
        _our_chain(statement[kind]["target"])
        for statement in rule.expr
        for kind in ("jump", "goto")
        if kind in statement
    )


def _jumps(table: Table) -> list[tuple[Chain, int, Rule]]:
    """Our rules in chains of others, with their places."""
    return [
        (chain, place, rule)
        for chain in table.chains.values()
        if not _our_chain(chain.name)
        for place, rule in enumerate(chain.rules)
        if _is_ours(rule)
    ]


def _has_ours(table: Table) -> bool:
    return any(map(_our_chain, table.chains)) or any(map(OUR_PEERS.match, table.sets)) or bool(_jumps(table))


def _found(table: Table) -> Openings:
    """What is ours as it is, without the jumps."""
    return Openings(
        {name: (_kind(group), _elements(group)) for name, group in table.sets.items() if OUR_PEERS.match(name)},
        {
            name: (*([chain.header] if chain.header else []), *(_numbered(rule.text) for rule in chain.rules))
            for name, chain in table.chains.items()
            if _our_chain(name)
        },
    )


def _kind(group: Group) -> str:
    return group.type if group.fixed else f"{group.type}, timeout"


def _elements(group: Group) -> tuple[str, ...]:
    plain = [element if isinstance(element, str) else json.dumps(element, sort_keys=True) for element in group.elements]
    return tuple(sorted(plain, key=_address))


def _address(text: str) -> tuple[int, str]:
    try:
        return int(ipaddress.ip_address(text)), text
    except ValueError:
        return 1 << 128, text


def _numbered(text: str) -> str:
    """nft names a protocol as /etc/protocols does, and numbers one it has no name for."""
    return re.sub(
        r"\bmeta l4proto (\d+)\b",
        lambda found: f"meta l4proto {PROTOCOLS.get(int(found.group(1)), found.group(1))}",
        text,
    )


def _jump(hook: str) -> str:
    return f'jump {CHAINS[hook]} comment "{MARK}"'


# --- what shall be ----------------------------------------------------------------------------------------------------


def _wanted(table: Table, opened: t.Sequence[Flow], jumps: dict[str, int]) -> Openings:
    """The openings of one table; jumps: those that are missing."""
    wanted = Openings(jumps=jumps)
    lists: dict[tuple[int, tuple[str, ...]], str] = {}
    for flow in opened:
        peers = ""
        if flow.sources:
            sources = tuple(sorted(set(flow.sources), key=_address))
            number = sum(1 for family, dummy in lists if family == flow.family) + 1
            name = f"{PEERS}{flow.family}" + (f"_{number}" if number > 1 else "")
            peers = lists.setdefault((flow.family, sources), name)
        chain = CHAINS[flow.hook]
        # iptables-save prints the rules of a table it shares without their sets: such an opening, once restored, would
        # be for everybody. There the peers are a chain of rules.
        wanted.chains[chain] = (*wanted.chains.get(chain, ()), _accept(table, flow, peers, _shared(table)))
    for (family, sources), name in lists.items():
        if _shared(table):
            saddr = "ip saddr" if family == 4 else "ip6 saddr"
            wanted.chains[name] = tuple(f'{saddr} {source} accept comment "{MARK}"' for source in sources)
        else:
            wanted.sets[name] = (TYPES[family], sources)
    return wanted


def _accept(table: Table, flow: Flow, peers: str, as_chain: bool) -> str:
    """One opening, as nft prints it."""
    ip = "ip" if flow.family == 4 else "ip6"
    words = []
    if table.family == "inet" and not flow.destination and not peers:
        words.append(f"meta nfproto ipv{flow.family}")
    if flow.iif:
        words.append(f'iifname "{flow.iif}"')
    if flow.oif:
        words.append(f'oifname "{flow.oif}"')
    if peers and not as_chain:
        words.append(f"{ip} saddr @{peers}")
    if flow.destination:
        words.append(f"{ip} daddr {flow.destination}")
    if flow.ports:
        low, high = flow.ports
        words.append(f"{flow.protocol} dport {low}" + (f"-{high}" if high != low else ""))
    elif flow.protocol:
        words.append(f"meta l4proto {flow.protocol}")
    words.append(f"jump {peers}" if peers and as_chain else "accept")
    return " ".join([*words, f'comment "{MARK}"'])


def _lines(table: Table, openings: Openings) -> list[str]:
    """Sets and chains as lines for people."""
    lines = []
    for name, (kind, elements) in sorted(openings.sets.items()):
        lines.append(f"table {table.id} set {name}: type {kind}")
        lines += [f"table {table.id} set {name}: {element}" for element in elements]
    for name, rules in sorted(openings.chains.items()):
        lines += [f"table {table.id} chain {name}: {rule}" for rule in rules] or [
            f"table {table.id} chain {name}: empty"
        ]
    return lines


# --- judging ----------------------------------------------------------------------------------------------------------


def _packets(flow: Flow, source: str) -> t.Iterator[Packet]:
    low, high = flow.ports or (0, 0)
    # A long range is judged by its ends.
    ports = range(low, high + 1) if high - low < MANY_PORTS else (low, high)
    for port in ports:
        yield Packet(
            flow.hook,
            flow.family,
            flow.protocol,
            port if flow.ports else None,
            int(ipaddress.ip_address(source)) if source else None,
            int(ipaddress.ip_address(flow.destination)) if flow.destination else None,
            flow.iif or flow.via,
            flow.oif,
        )


def _stops(judge: Judge, chain: Chain, flow: Flow) -> dict[Stop, list[str]]:
    """What stops the flow in one base chain, and for which peers."""
    found: dict[Stop, list[str]] = {}
    judge.saw_source = False
    for source in flow.sources or ("",):
        stops = {stop for packet in _packets(flow, source) for stop in [judge.stop(chain, packet)] if stop}
        for stop in sorted(stops, key=lambda stop: (stop.place, stop.chain, stop.text)):
            found.setdefault(stop, []).append(source)
        if not judge.saw_source:  # the same for every peer
            return {stop: list(flow.sources) for stop in stops}
    return found if flow.sources else {stop: [] for stop in found}


def _rule(table: Table, stop: Stop) -> str:
    return f"table {table.id} chain {stop.chain}: {stop.text}"


def _named(table: Table, chain: Chain, flow: Flow, stops: t.Container[Stop], context: Context) -> t.Iterator[str]:
    """Rules that stop a flow but name a bridge of the overlay, which says that somebody means exactly that."""
    if flow.iif in context.bridges or flow.oif in context.bridges:
        for stop in _stops(Judge(table, (), _is_ours), chain, flow):
            if stop not in stops:
                yield (
                    f"nftables: '{_rule(table, stop)}' names a bridge of the overlay and was left alone; "
                    f"it stops {flow.label}."
                )


def plan(state: State, flows: t.Sequence[Flow], context: Context, present: bool) -> LayerPlan:
    """Which rules stop the flows, and the openings in each table that does."""
    blocks: list[Block] = []
    before: list[str] = []
    after: list[str] = []
    script: list[str] = []
    notes = list(state.notes)
    for table in state.tables:
        opened: list[Flow] = []
        limits: dict[str, int] = {}
        judge = Judge(table, context.bridges, _is_ours)
        for name in table.judged:
            chain = table.chains[name]
            for flow in (flow for family in FAMILIES[table.family] for flow in select(flows, chain.hook, family)):
                stops = _stops(judge, chain, flow)
                notes += _named(table, chain, flow, stops, context)
                for stop, sources in stops.items():
                    blocks.append(Block(NAME, chain.hook, _rule(table, stop), flow.label, tuple(sources)))
                    limits[name] = min(limits.get(name, stop.place), stop.place)
                if stops and flow not in opened:
                    opened.append(flow)
        if opened and "owner" in table.flags:
            if present:
                raise FirewallError(_owned(table, blocks[-1]))
            continue
        if opened or _has_ours(table):
            _reconcile(table, opened if present else [], limits if present else {}, before, after, script)
    steps = (Step(("nft", "-f", "-"), "\n".join([*script, ""])),) if script else ()
    return LayerPlan(NAME, tuple(blocks), tuple(before), tuple(after), steps, tuple(dict.fromkeys(notes)))


def _owned(table: Table, block: Block) -> str:
    owner = f"the process '{table.owner}'" if table.owner else "another process"
    return (
        f"The nftables table '{table.id}' stops {block.traffic} of the overlay and belongs to {owner}, "
        f"which alone may change it (flag owner): '{block.rule}'. "
        "Allow that traffic in the settings of that program, then run this again."
    )


# --- getting there ----------------------------------------------------------------------------------------------------


def _reconcile(
    table: Table,
    opened: t.Sequence[Flow],
    limits: dict[str, int],
    before: list[str],
    after: list[str],
    script: list[str],
) -> None:
    """Compare a table with what it shall have. limits: by base chain, the place of the first rule that stops a flow."""
    have = _found(table)
    before += _lines(table, have)
    goals = {
        name: table.chains[name].rules[place].handle if place < len(table.chains[name].rules) else 0
        for name, place in limits.items()
    }
    drop: list[str] = []
    kept: set[str] = set()
    for chain, place, rule in _jumps(table):
        late = place >= limits[chain.name] if chain.name in limits else False
        before.append(
            f"table {table.id} chain {chain.name}: {rule.text}"
            + (" (behind a rule that stops the overlay)" if late else "")
        )
        if chain.name in limits and not late and chain.name not in kept and rule.text == _jump(chain.hook):
            kept.add(chain.name)
        else:
            drop.append(f"delete rule {table.id} {chain.name} handle {rule.handle}")
    want = _wanted(table, opened, {name: handle for name, handle in goals.items() if name not in kept})
    after += _lines(table, want)
    after += [
        f"table {table.id} chain {name}: {_jump(chain.hook)}" for name, chain in table.chains.items() if name in limits
    ]
    script += drop
    script += _contents(table, have, want)
    for name, handle in want.jumps.items():
        jump = _jump(table.chains[name].hook)
        script.append(
            f"insert rule {table.id} {name} handle {handle} {jump}" if handle else f"add rule {table.id} {name} {jump}"
        )


def _contents(table: Table, have: Openings, want: Openings) -> list[str]:
    """Commands that make our sets and chains right. What a rule refers to is made before it and goes after it."""
    gone = [name for name in have.sets if name not in want.sets or have.sets[name][0] != want.sets[name][0]]
    stale = [name for name in have.chains if gone or have.chains[name] != want.chains.get(name)]
    based = [name for name in stale if table.chains[name].hook]  # somebody made a base chain of our name
    script = [f"flush chain {table.id} {name}" for name in stale]
    script += [f"delete chain {table.id} {name}" for name in stale if name not in want.chains or name in based]
    script += [f"delete set {table.id} {name}" for name in gone]
    for name, (kind, elements) in want.sets.items():
        old = have.sets[name][1] if name in have.sets and name not in gone else ()
        if name not in have.sets or name in gone:
            script.append(f"add set {table.id} {name} {{ type {kind}; }}")
        for verb, items in (
            ("delete", [item for item in old if item not in elements]),
            ("add", [item for item in elements if item not in old]),
        ):
            if items:
                script.append(f"{verb} element {table.id} {name} {{ {', '.join(items)} }}")
    fresh = [name for name in want.chains if name not in have.chains or name in stale]
    script += [f"add chain {table.id} {name}" for name in fresh if name not in have.chains or name in based]
    script += [f"add rule {table.id} {name} {_typed(rule)}" for name in fresh for rule in want.chains[name]]
    return script


def _typed(text: str) -> str:
    """The rule as it is given to nft, which need not know the protocol's name."""
    return re.sub(
        r"\bmeta l4proto (\w+)", lambda found: f"meta l4proto {NUMBERS.get(found.group(1), found.group(1))}", text
    )
