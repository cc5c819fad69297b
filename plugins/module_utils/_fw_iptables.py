# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""iptables: chains of our own, reached by one jump that lies before the first rule that stops the overlay.

A host has up to four of these firewalls, one for each address family and kernel interface (nft, legacy), and a packet
has to pass all of them. Only the filter table is looked at.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils import _files
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import STATUS_NOT_STARTED, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_iptables_rules import (
    LEAVES,
    STOPS,
    Chain,
    Peers,
    Rule,
    canonical,
    packets,
    parse,
    parse_rule,
    walk,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    CHAIN_FORWARD,
    CHAIN_INPUT,
    CHAIN_PEERS,
    MARK,
    Block,
    Context,
    FirewallError,
    Flow,
    LayerPlan,
    Run,
    Step,
)

NAME = "iptables"
BASES = {"input": "INPUT", "forward": "FORWARD"}
JUMPS = {"INPUT": CHAIN_INPUT, "FORWARD": CHAIN_FORWARD}
OURS = (CHAIN_PEERS, CHAIN_INPUT, CHAIN_FORWARD)  # in the order they are filled: what is jumped to comes first
# Docker sets the policy of FORWARD to DROP together with these, and lets its own networks through.
DOCKER = ("DOCKER-USER", "DOCKER-FORWARD", "DOCKER-ISOLATION-STAGE-1")
WAIT = "10"  # seconds iptables waits for another program that holds its lock
QUEUES = tuple(target for target in LEAVES if target != "ACCEPT")


@dataclass(frozen=True)
class State:
    """The filter table of one family and variant."""

    name: str
    family: int
    restore: str = ""  # the tool that writes it
    chains: t.Mapping[str, Chain] = field(default_factory=dict)
    default: bool = False  # the variant that the plain command "iptables" drives, and with it other programs
    problem: str = ""  # why it could not be read
    failure: Result | None = None

    @property
    def acts(self) -> bool:
        """Whether rules or policies of others could stop anything that comes in or is passed on."""
        seen: set[str] = set(OURS)
        todo = [base for base in JUMPS if base in self.chains]
        while todo:
            chain = todo.pop()
            if chain in seen:
                continue
            seen.add(chain)
            targets = {rule.target for rule in self.chains[chain].rules}
            if targets & {*STOPS, *QUEUES} or self.chains[chain].policy in STOPS:
                return True
            todo += [target for target in targets if target in self.chains]
        return False


def observe(run: Run, context: Context, read: t.Callable[[str], str | None] = _files.read) -> tuple[State, ...]:
    """Read the filter tables that exist and are not as empty as a new one. read() returns the text of a file."""
    states = []
    for family, prefix, names in (
        (4, "iptables", "/proc/net/ip_tables_names"),
        (6, "ip6tables", "/proc/net/ip6_tables_names"),
    ):
        version = run([prefix, "-V"])
        default = "" if version.rc else ("nft" if "nf_tables" in version.out else "legacy")
        for variant in ("nft", "legacy"):
            # The legacy tool makes the kernel load the table it lists, so it must not be asked for one that is not there.
            if variant == "legacy" and "filter" not in (read(names) or "").split():
                continue
            state = _observe_one(run, f"{prefix}-{variant}", family, prefix if variant == default else "")
            if state and not _pristine(state):
                states.append(state)
    return tuple(states)


def _observe_one(run: Run, name: str, family: int, plain: str) -> State | None:
    """One variant; plain is the name without the variant where that means the same."""
    for tool in filter(None, (name, plain)):
        result = run([f"{tool}-save", "-t", "filter"])
        if result.rc != STATUS_NOT_STARTED:
            return _read(State(name, family, f"{tool}-restore", default=bool(plain)), result)
    if name.endswith("-legacy"):
        problem = (
            f"The kernel has a filter table of {name}, but '{name}-save' is not on this host to read it with, so whether "
            "it stops the overlay is not known. Another program, often one in a container, has made that table."
        )
        return State(name, family, problem=problem)
    return None


def _read(state: State, result: Result) -> State | None:
    said = f"{result.out}\n{result.err}"
    if "is incompatible" in said:  # with status 0 in most releases
        return None  # rules that only nft can write lie in this table; it is judged with the native ones
    if result.rc or result.timed_out:
        if "Protocol not supported" in said:  # a kernel without nf_tables has no such rules
            return None
        reason = result.message
        remedy = f"Run '{result.cmd}' on the host and repair what it reports, or remove the package if it is not used."
    else:
        chains = parse(result.out)
        return State(state.name, state.family, state.restore, chains, state.default) if chains else None
    problem = f"The firewall {state.name} cannot be read: {reason} {remedy}"
    return State(state.name, state.family, state.restore, {}, state.default, problem, result)


def _pristine(state: State) -> bool:
    return not state.problem and all(chain.policy == "ACCEPT" and not chain.rules for chain in state.chains.values())


def plan(state: State, flows: t.Sequence[Flow], context: Context, present: bool) -> LayerPlan:
    """What this table stops, and the one transaction that opens it, or takes the openings away."""
    flows = [flow for flow in flows if flow.family == state.family]
    if state.problem:
        if flows and state.failure:
            raise FirewallError(state.problem, state.failure)
        return LayerPlan(state.name, notes=(state.problem,))
    if len({frozenset(flow.sources) for flow in flows if flow.sources}) > 1:
        raise ValueError("The flows of one address family have to come from the same peers.")
    blocks: list[Block] = []
    opened: list[Flow] = []
    places: dict[str, int] = {}  # base chain: index of its first rule, not counting ours, that stops something
    if present and not (context.firewalld == NAME and state.default):
        blocks, opened, places = _judge(state, flows, context)
    want = _openings(opened)
    have = {name: [canonical(rule) for rule in state.chains[name].rules] for name in OURS if name in state.chains}
    jumps = _jumps(state)
    lines = [f":{chain} - [0:0]" for chain in want if want[chain] != have.get(chain)]
    lines += [line for chain in want if want[chain] != have.get(chain) for line in want[chain]]
    for base, chain in JUMPS.items():
        lines += _place(base, chain if chain in want else "", jumps, places.get(base, 0), len(_others(state, base)))
    lines += [f"-D {jump.text[3:]}" for dummy, jump in jumps if jump.chain not in JUMPS]
    gone = [chain for chain in OURS if chain in have and chain not in want]
    lines += [f"-F {chain}" for chain in gone] + [f"-X {chain}" for chain in gone]
    steps: tuple[Step, ...] = ()
    if lines:
        stdin = "\n".join(["*filter", *lines, "COMMIT", ""])
        steps = (Step((state.restore, "--noflush", "-w", WAIT), stdin),)
    return LayerPlan(
        state.name,
        tuple(blocks),
        before=_listing(have, [canonical(jump) for dummy, jump in jumps]),
        after=_listing(want, [_jump(base, chain) for base, chain in JUMPS.items() if chain in want]),
        steps=steps,
    )


def _judge(state: State, flows: t.Sequence[Flow], context: Context) -> tuple[list[Block], list[Flow], dict[str, int]]:
    """What stops which flow, the flows that are stopped, and the first place in each base chain where that happens."""
    chains = {name: chain for name, chain in state.chains.items() if name not in OURS}
    for base in JUMPS:
        if base in chains:
            policy = "ACCEPT" if _foreign_policy(state, base, context) else chains[base].policy
            chains[base] = Chain(policy, _others(state, base))
    bridges = set(context.bridges)

    def skip(rule: Rule) -> bool:
        if rule.target in OURS or MARK in rule.values("--comment"):
            return True
        if context.ufw and rule.target.startswith(("ufw-", "ufw6-")):
            return True
        return not bridges.isdisjoint(rule.values("-i", "-o"))

    blocks: list[Block] = []
    opened: list[Flow] = []
    places: dict[str, int] = {}
    for flow in flows:
        base = BASES[flow.hook]
        if base not in chains:
            continue
        peers = Peers(flow.sources)
        found: dict[tuple[int, str], int] = {}
        for packet in packets(flow, chains):
            for stop in walk(chains, base, packet, peers, skip):
                found[(stop.index, stop.text)] = found.get((stop.index, stop.text), 0) | stop.peers
        if not found:
            continue
        opened.append(flow)
        places[base] = min([places.get(base, len(chains[base].rules)), *(index for index, dummy in found)])
        for (dummy, text), bits in sorted(found.items()):
            names = peers.names(bits)
            sources = tuple(source for source in flow.sources if source in names)
            blocks.append(Block(state.name, flow.hook, text, flow.label, sources))
    return blocks, opened, places


def _foreign_policy(state: State, base: str, context: Context) -> bool:
    """Whether the policy of a base chain is set by a program whose traffic is opened, or opens itself, elsewhere."""
    if context.ufw and any(name.startswith(("ufw-", "ufw6-")) for name in state.chains):
        return True
    return base == "FORWARD" and any(rule.target in DOCKER for rule in state.chains[base].rules)


def _others(state: State, base: str) -> list[Rule]:
    return [rule for rule in state.chains[base].rules if rule.target not in OURS] if base in state.chains else []


def _jumps(state: State) -> list[tuple[int, Rule]]:
    """Every rule outside our chains that leads into one of them, and how many rules of others lie before it."""
    found = []
    for name, chain in state.chains.items():
        before = 0
        for rule in chain.rules if name not in OURS else ():
            if rule.target in OURS:
                found.append((before, rule))
            else:
                before += 1
    return found


def _place(base: str, chain: str, jumps: t.Sequence[tuple[int, Rule]], place: int, length: int) -> list[str]:
    """The lines that leave one jump to the chain at the place or before it, or none without a chain."""
    mine = [(before, jump) for before, jump in jumps if jump.chain == base]
    wanted = _jump(base, chain) if chain else ""
    if [canonical(jump) for dummy, jump in mine] == ([wanted] if wanted else []) and all(
        before <= place for before, dummy in mine
    ):
        return []
    lines = [f"-D {jump.text[3:]}" for dummy, jump in mine]
    if wanted:
        # Not by a number at the end: rules that others add there in the meantime are stopped by nothing.
        lines.append(wanted if place >= length else f"-I {base} {place + 1} {wanted[len('-A ' + base) + 1 :]}")
    return lines


def _jump(base: str, chain: str) -> str:
    return f"-A {base} -m comment --comment {MARK} -j {chain}"


def _openings(flows: t.Sequence[Flow]) -> dict[str, list[str]]:
    """Our chains with their rules, in the spelling of canonical()."""
    rules: dict[str, list[str]] = {}
    peers = next((flow.sources for flow in flows if flow.sources), ())
    if peers:
        # A chain of its own: a packet that is none of the overlay's passes a rule per flow, not one per peer.
        rules[CHAIN_PEERS] = [_rule(CHAIN_PEERS, ("-s", _address(peer)), "ACCEPT") for peer in peers]
    for flow in flows:
        words: list[str] = []
        for option, value in (
            ("-d", _address(flow.destination)),
            ("-i", flow.iif),
            ("-o", flow.oif),
            ("-p", flow.protocol),
        ):
            words += [option, value] if value else []
        if flow.ports:
            first, last = flow.ports
            words += ["-m", flow.protocol, "--dport", str(first) if first == last else f"{first}:{last}"]
        chain = JUMPS[BASES[flow.hook]]
        rules.setdefault(chain, []).append(_rule(chain, words, CHAIN_PEERS if flow.sources else "ACCEPT"))
    return rules


def _address(text: str) -> str:
    return str(ipaddress.ip_network(text)) if text else ""


def _rule(chain: str, words: t.Sequence[str], target: str) -> str:
    return canonical(parse_rule(" ".join(["-A", chain, *words, "-m", "comment", "--comment", MARK, "-j", target])))


def _listing(chains: t.Mapping[str, t.Sequence[str]], jumps: t.Sequence[str]) -> tuple[str, ...]:
    """As iptables -S lists them."""
    rules = [rule for chain in OURS for rule in chains.get(chain, ())]
    return (*(f"-N {chain}" for chain in OURS if chain in chains), *jumps, *rules)
