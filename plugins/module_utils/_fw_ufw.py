# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Openings in ufw: user rules with our comment, put before the user rules of others.

Every "ufw allow" rewrites and reloads all rules, 0.2 seconds and more each, so a thousand of them take minutes.
Changes are therefore made by ufw's own Python classes, all in one go, under ufw's own lock.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import os
import shlex
import typing as t
from dataclasses import dataclass

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
)

NAME = "ufw"
PYTHON = "/usr/bin/python3"  # what the packages of all distributions run ufw with, unless its first line says otherwise
PROGRAM = "/usr/sbin/ufw"
RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
TOOLS = {4: "iptables", 6: "ip6tables"}
PREFIX = {4: "ufw", 6: "ufw6"}  # of the names of ufw's chains
ANYWHERE = ("0.0.0.0/0", "::/0")
POLICIES = {"accept": "allow", "reject": "reject"}  # anything else is "deny", as in ufw
NUMBERS = {"6": "tcp", "17": "udp", "47": "gre", "50": "esp", "all": "any"}  # hosts without /etc/protocols print these
EDIT_TIMEOUT = 120  # seconds; 1500 rules take less than 3
# A copy of a rules file that is loaded already, but not yet in its place. Found later, it tells of an interrupted edit.
SUFFIX = ".crosshost-overlay"

# Runs with ufw's interpreter. WANT (family -> commands), MARK (as ufw stores comments) and SUFFIX stand before it.
EDIT = """
import builtins, os, shutil, subprocess, sys

builtins._ = lambda text: text  # ufw's modules count on gettext
sys.argv = ["/usr/sbin/ufw"]  # ufw looks at the owner and mode of this file


def parsed(command, v6):
    rule = ufw.frontend.parse_command(["ufw", *command]).data["rule"]
    rule.set_v6(v6)
    rule.normalize()
    return rule


def limited(path):
    with open(path) as rules:
        return "-user-limit " in rules.read()


def load(tool, copy, *options):
    with open(copy) as rules:
        done = subprocess.run([tool, "-w", "10", "-n", *options], stdin=rules, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise ufw.common.UFWError("%s < %s: %s" % (os.path.basename(tool), copy, done.stderr.strip()))


def edit():
    backend = ufw.backend_iptables.UFWBackendIptables(False)
    if not backend.is_enabled():
        raise ufw.common.UFWError("ufw was disabled in the meantime")
    edits = []
    for family, commands in sorted(WANT.items()):
        v6 = family == 6
        if v6 and not backend.use_ipv6():
            raise ufw.common.UFWError("Adding IPv6 rule failed: IPv6 not enabled")
        name = "rules6" if v6 else "rules"
        others = [rule for rule in getattr(backend, name) if rule.comment != MARK]
        setattr(backend, name, [parsed(command, v6) for command in commands] + others)
        edits.append((v6, name, os.path.realpath(backend.files[name])))
    # ufw finds this out with a test chain, which would stay behind if it was killed; its files tell as well
    backend.caps = {"limit": {"6" if name == "rules6" else "4": limited(path) for _v6, name, path in edits}}
    loads = []
    try:
        for v6, name, path in edits:
            copy = path + SUFFIX
            shutil.copy2(path, copy)
            os.chown(copy, os.stat(path).st_uid, os.stat(path).st_gid)
            tool = backend.ip6tables_restore if v6 else backend.iptables_restore
            loads.append((tool, copy, path))
            backend.files[name] = copy
            backend._write_rules(v6)
            load(tool, copy, "--test")
    except BaseException:  # nothing has been loaded yet
        for _tool, copy, _path in loads:
            os.unlink(copy)
        raise
    for tool, copy, _path in loads:
        load(tool, copy)
    for _tool, copy, path in loads:
        with open(copy) as rules:
            os.fsync(rules.fileno())
        os.replace(copy, path)


try:
    import ufw.backend_iptables, ufw.common, ufw.frontend, ufw.util

    lock = ufw.util.create_lock()
    try:
        edit()
    finally:
        ufw.util.release_lock(lock)
except Exception as exc:
    sys.exit("ERROR: %s: %s" % (type(exc).__name__, getattr(exc, "value", exc)))
"""


@dataclass(frozen=True)
class Rule:
    """A user rule, or a rule of iptables put in the same words. "any" and "" match everything."""

    family: int
    action: str  # allow, deny, reject, limit
    protocol: str = "any"
    dport: str = "any"
    dst: str = "any"
    sport: str = "any"
    src: str = "any"
    forward: bool = False
    out: bool = False
    iif: str = ""
    oif: str = ""
    log: str = ""
    apps: tuple[str, str] = ("", "")  # profiles that the ports come from: destination, source
    comment: str = ""
    line: str = ""  # of iptables

    @property
    def text(self) -> str:
        """The rule as 'ufw show added' prints it."""
        return self.line or _command(self)


@dataclass(frozen=True)
class State:
    """What ufw does on this host."""

    input: str  # default policies: allow, deny, reject
    forward: str
    ipv6: bool
    rules: tuple[Rule, ...]  # user rules, in the order of the files
    earlier: tuple[Rule, ...]  # rules of the administrator in chains that come before them
    loaded: frozenset[Rule]  # user rules the kernel has
    python: tuple[str, ...] = (PYTHON,)
    interrupted: tuple[int, ...] = ()  # families with an edit that was not finished
    acts: bool = True


def active(run: Run) -> bool:
    """Whether ufw guards this host; False where it is not installed or cannot say."""
    return "Status: active" in run(["ufw", "status"]).out.splitlines()


def observe(run: Run, context: Context) -> tuple[State, ...]:
    """Read settings, user rules and what the kernel has of them; empty where ufw is not active."""
    status = run(["ufw", "status"])
    if status.rc == STATUS_NOT_STARTED:
        return ()
    if status.rc != 0:
        raise _broken("cannot say whether it is active", status)
    if "Status: active" not in status.out.splitlines():
        conf = run(["cat", "/etc/ufw/ufw.conf"])
        if _settings(conf.out).get("ENABLED") == "yes":
            raise FirewallError(
                f"ufw is enabled in /etc/ufw/ufw.conf, but its rules are not loaded ('{status.cmd}' says "
                f"'{status.reason}'). Load them with 'systemctl restart ufw', or turn ufw off with 'ufw disable'.",
                status,
            )
        return ()
    settings = _settings(_read(run, ["cat", "/etc/default/ufw"]))
    names = run(["ls", "/etc/ufw", "/proc/sys/net"]).out.split()
    ipv6 = settings.get("IPV6") == "yes" and "ipv6" in names
    first_line = run(["head", "-n", "1", PROGRAM]).out
    rules: list[Rule] = []
    earlier: list[Rule] = []
    loaded: list[Rule] = []
    for family in (4, 6) if ipv6 else (4,):
        rules += _user_rules(_read(run, ["cat", RULES[family]]), family)
        chains = _chains(_read(run, [TOOLS[family], "-w", "10", "-S"]), family)
        earlier += chains["before"]
        loaded += [dataclasses.replace(rule, line="") for rule in chains["user"]]
    return (
        State(
            input=POLICIES.get(settings.get("DEFAULT_INPUT_POLICY", ""), "deny"),
            forward=POLICIES.get(settings.get("DEFAULT_FORWARD_POLICY", ""), "deny"),
            ipv6=ipv6,
            rules=tuple(rules),
            earlier=tuple(earlier),
            loaded=frozenset(loaded),
            python=tuple(first_line[2:].split()[:2]) if first_line.startswith("#!") else (PYTHON,),
            interrupted=tuple(
                family
                for family, path in RULES.items()
                if os.path.basename(path) + SUFFIX in names and (family == 4 or ipv6)
            ),
        ),
    )


def plan(state: State, flows: t.Sequence[Flow], context: Context, present: bool) -> LayerPlan:
    """Openings for the flows that ufw stops, and the one step that makes or removes them."""
    ours = [rule for rule in state.rules if rule.comment == MARK]
    others = [rule for rule in state.rules if rule.comment != MARK]
    blocks: list[Block] = []
    notes: dict[str, None] = {}
    want: dict[Rule, None] = {}
    guilty: set[Rule] = set()  # user rules that have to come after ours
    for flow in flows:
        stops, rules = _stops(state, others, flow)
        if not stops:
            continue
        blocks += [Block(NAME, flow.hook, rule, flow.label, tuple(sources)) for rule, sources in stops.items()]
        guilty.update(rules)
        notes.update(dict.fromkeys(_hopeless(state, rule.line) for rule in rules if rule.line))
        if flow.family == 6 and not state.ipv6:
            notes[
                "ufw drops all IPv6 here. To let peers with IPv6 addresses in, set IPV6=yes in /etc/default/ufw, "
                "run 'ufw reload' and try again."
            ] = None
        elif present:
            want.update(dict.fromkeys(_openings(flow)))
    edits = {
        family: [shlex.split(rule.text)[1:] for rule in want if rule.family == family]
        for family in (4, 6)
        if _differs(state, family, ours, list(want), guilty)
    }
    return LayerPlan(
        firewall=NAME,
        blocks=tuple(blocks),
        before=_lines(ours),
        after=_lines(want),
        steps=(_edit(state.python, edits),) if edits else (),
        notes=tuple(notes),
    )


def _differs(state: State, family: int, ours: list[Rule], want: list[Rule], guilty: set[Rule]) -> bool:
    """Whether the openings of one family are not the wanted ones, not in force, or behind a rule that stops them."""
    have = [rule for rule in ours if rule.family == family]
    need = [rule for rule in want if rule.family == family]
    if family in state.interrupted or sorted(map(_command, have)) != sorted(map(_command, need)):
        return True
    if not all(dataclasses.replace(rule, comment="") in state.loaded for rule in need):
        return True
    user_rules = [rule for rule in state.rules if rule.family == family]
    first = next((index for index, rule in enumerate(user_rules) if rule in guilty), len(user_rules))
    return any(rule.comment == MARK for rule in user_rules[first:])


def _edit(python: tuple[str, ...], edits: dict[int, list[list[str]]]) -> Step:
    """The step that replaces our rules of these families; the words after "-" are for people who read the command."""
    settings = f"WANT = {edits!r}\nMARK = {MARK.encode().hex()!r}\nSUFFIX = {SUFFIX!r}\n"
    about = "+".join(f"{len(commands)} IPv{family}" for family, commands in edits.items())
    argv = (*python, "-I", "-", "ufw", "rules", MARK, about)
    return Step(argv, settings + EDIT, EDIT_TIMEOUT)


def _openings(flow: Flow) -> list[Rule]:
    """The narrowest rules that let a flow in."""
    ports = "any"
    if flow.ports:
        low, high = flow.ports
        ports = str(low) if low == high else f"{low}:{high}"
    return [
        Rule(
            family=flow.family,
            action="allow",
            protocol=flow.protocol or "any",
            dport=ports,
            dst=_address(flow.destination),
            src=_address(source),
            forward=flow.hook == "forward",
            iif=flow.iif,
            oif=flow.oif if flow.hook == "forward" else "",
            comment=MARK,
        )
        for source in flow.sources or ("",)
    ]


def _stops(state: State, others: list[Rule], flow: Flow) -> tuple[dict[str, list[str]], list[Rule]]:
    """What stops a flow, as text -> peers, and those of them that are rules. Our own rules do not count."""
    stops: dict[str, list[str]] = {}
    if flow.family == 6 and not state.ipv6:
        return {"IPV6=no": list(flow.sources)}, []
    policy = state.input if flow.hook == "input" else state.forward
    direction = "incoming" if flow.hook == "input" else "routed"
    ports = frozenset(range(flow.ports[0], flow.ports[1] + 1)) if flow.ports else frozenset((0,))
    matching = [(rule, _hits(rule, flow, ports)) for rule in (*state.earlier, *others) if rule.family == flow.family]
    matching = [(rule, hits) for rule, hits in matching if hits]
    rules: dict[Rule, None] = {}
    for source in flow.sources or ("",):
        left = ports
        for rule, hits in matching:
            if left & hits and _contains(rule.src, source):
                left -= hits
                if rule.action != "allow":
                    rules[rule] = None
                    stops.setdefault(rule.text, []).extend(flow.sources and [source])
        if left and policy != "allow":
            stops.setdefault(f"Default: {policy} ({direction})", []).extend(flow.sources and [source])
    return {text: list(dict.fromkeys(sources)) for text, sources in stops.items()}, list(rules)


def _hits(rule: Rule, flow: Flow, ports: frozenset[int]) -> frozenset[int]:
    """The flow's ports that a rule decides on for certain, its source aside; {0} stands for a flow without ports."""
    nothing: frozenset[int] = frozenset()
    if rule.forward != (flow.hook == "forward") or rule.out or rule.sport != "any":
        return nothing
    if rule.protocol not in ("any", flow.protocol) or not _contains(rule.dst, flow.destination):
        return nothing
    if not _same_interface(rule.iif, flow.iif or flow.via) or not _same_interface(rule.oif, flow.oif):
        return nothing
    if rule.dport == "any":
        return ports
    if flow.protocol not in ("tcp", "udp"):  # a rule with ports is for these two
        return nothing
    ranges = [part.partition(":") for part in rule.dport.split(",")]
    return frozenset(
        port for port in ports if any(int(low) <= port <= int(high or low) for low, _colon, high in ranges)
    )


def _same_interface(wanted: str, known: str) -> bool:
    """Whether a rule's interface is certainly the flow's; a flow that may arrive anywhere is not decided by it."""
    if wanted.endswith("+"):
        return bool(known) and known.startswith(wanted[:-1])
    return wanted in ("", known)


@functools.lru_cache(maxsize=None)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _contains(wanted: str, address: str) -> bool:
    """Whether a rule's address covers the flow's; a flow to or from anywhere is covered by "any" only."""
    return wanted == "any" or (address != "" and _network(address).subnet_of(_network(wanted)))  # type: ignore[arg-type]


def _address(text: str) -> str:
    """An address or network as ufw writes it: no prefix length for a single host, "any" for all."""
    if not text or text in ANYWHERE or text == "any":
        return "any"
    network = _network(text)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _lines(rules: t.Iterable[Rule]) -> tuple[str, ...]:
    return tuple(sorted(rule.text + (" (v6)" if rule.family == 6 else "") for rule in rules))


def _hopeless(state: State, line: str) -> str:
    family = "6" if "-A ufw6-" in line else ""
    return (
        f"The rule '{line}' comes before all user rules, so ufw has no opening that helps: "
        f"take it out of /etc/ufw/before{family}.rules, then run 'ufw reload'."
    )


def _command(rule: Rule) -> str:
    """The command of a rule, in the words of ufw.parser.UFWCommandRule.get_command."""
    words = ["ufw", "route", rule.action] if rule.forward else ["ufw", rule.action]
    places = [("from", rule.src, rule.sport, rule.apps[1]), ("to", rule.dst, rule.dport, rule.apps[0])]
    protocol = rule.protocol if rule.protocol != "any" and not any(rule.apps) else ""
    direction = ["out"] if rule.out and not rule.oif else []
    short = rule.src == rule.dst == rule.sport == "any" and not (rule.apps[1] or rule.iif or rule.oif)
    if short and rule.dport != "any":
        port = f"{rule.dport}/{protocol}" if protocol else rule.dport
        words += [*direction, rule.log, _quoted(rule.apps[0]) or port]
    else:
        words += [
            "in on " + rule.iif if rule.iif else "",
            "out on " + rule.oif if rule.oif else "",
            *direction,
            rule.log,
        ]
        shown = [
            (word, address, "app " + _quoted(app) if app else "port " + port if port != "any" else "")
            for word, address, port, app in places
            if address != "any" or port != "any" or app
        ]
        words += [part for place in shown for part in place]
        if not shown and not rule.iif and not rule.oif:
            words += ["to", "any"]
        words += ["proto", protocol] if protocol else []
    words += [f"comment '{rule.comment}'"] if rule.comment else []
    return " ".join(word for word in words if word)


def _quoted(app: str) -> str:
    return f"'{app}'" if " " in app else app


def _user_rules(text: str, family: int) -> list[Rule]:
    """The rules of /etc/ufw/user.rules: "### tuple ### action protocol dport dst sport src [dapp sapp] [interfaces]"."""
    found = []
    for line in text.splitlines():
        if not line.startswith("### tuple ###"):
            continue
        head, _equals, comment = line[len("### tuple ###") :].partition(" comment=")
        words = head.split()
        if not 6 <= len(words) <= 9:
            continue  # ufw leaves such lines out as well
        way = words.pop() if len(words) in (7, 9) else "in"
        apps = [word.replace("%20", " ") if word != "-" else "" for word in words[6:]] or ["", ""]
        route, _colon, action = words[0].rpartition(":")
        action, _underscore, log = action.partition("_")
        interfaces = dict(part.split("_", 1) for part in way.split("!") if "_" in part)
        found.append(
            Rule(
                family=family,
                action=action,
                protocol=words[1],
                dport=words[2],
                dst=_address(words[3]),
                sport=words[4],
                src=_address(words[5]),
                forward=route == "route",
                out=way.startswith("out") and not route,
                iif=interfaces.get("in", ""),
                oif=interfaces.get("out", ""),
                log=log,
                apps=(apps[0], apps[1]),
                comment=_comment(comment.strip()),
            )
        )
    return found


def _comment(digits: str) -> str:
    try:
        return bytes.fromhex(digits).decode("utf-8", errors="replace")
    except ValueError:
        return digits


def _chains(text: str, family: int) -> dict[str, list[Rule]]:
    """The rules of ufw's input and forward chains in "iptables -S", of those that consist of what Rule knows."""
    found: dict[str, list[Rule]] = {"before": [], "user": []}
    for line in text.splitlines():
        for kind in found:
            for hook in ("input", "forward"):
                if line.startswith(f"-A {PREFIX[family]}-{kind}-{hook} "):
                    found[kind] += filter(None, [_kernel_rule(line, family, hook == "forward")])
    return found


def _kernel_rule(line: str, family: int, forward: bool) -> Rule | None:
    """One line of "iptables -S"; None if it jumps elsewhere or has matches that depend on more than addresses."""
    words = shlex.split(line)[2:]
    values: dict[str, t.Any] = {}
    fields = {"-p": "protocol", "-s": "src", "-d": "dst", "-i": "iif", "-o": "oif", "--sport": "sport"}
    fields.update({"--dport": "dport", "--dports": "dport", "-j": "action"})
    for option, value in zip(words[::2], words[1::2]):
        if option == "-m" and value in ("tcp", "udp", "multiport", "comment"):
            continue
        if option in ("--comment", "--reject-with"):
            continue
        if option not in fields:  # "!" is not among them either
            return None
        values[fields[option]] = value
    actions = {"ACCEPT": "allow", "DROP": "deny", "REJECT": "reject"}
    if values.get("action") not in actions:
        return None
    values["action"] = actions[values["action"]]
    values["protocol"] = NUMBERS.get(values.get("protocol", "any"), values.get("protocol", "any"))
    for name in ("src", "dst"):
        values[name] = _address(values.get(name, ""))
    return Rule(family=family, forward=forward, line=line, **values)


def _settings(text: str) -> dict[str, str]:
    """KEY="value" lines; ufw compares values without regard to case."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip().strip("\"'").lower() for key, value in pairs}


def _read(run: Run, argv: list[str]) -> str:
    result = run(argv)
    if result.rc != 0:
        raise _broken("cannot be read", result)
    return str(result.out)


def _broken(what: str, result: Result) -> FirewallError:
    """ufw prints warnings before the line that says what is wrong."""
    lines = [line.strip() for line in (result.err + "\n" + result.out).splitlines() if line.startswith("ERROR")]
    reason = f"'{result.cmd}' failed with status {result.rc}: {lines[0]}" if lines else result.message
    return FirewallError(
        f"ufw is installed here, but {what}: {reason}. Repair it ('ufw status' has to work), or remove the package.",
        result,
    )
