# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What daemon.json should say, what a running dockerd has loaded, and what the difference asks for. Pure."""

from __future__ import annotations

import copy
import json
import re
import shlex
import typing as t
from dataclasses import dataclass, field, replace

Config = t.Dict[str, t.Any]
Path = t.Tuple[str, ...]

# Read again on SIGHUP, from dockerd 20.10 on: "Configuration reload behavior" in dockerd's reference, and daemon/reload.go.
RELOADABLE = frozenset(
    [
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    ]
)
# A key that is gone from the file keeps its old value over a reload, but for these: reload.go resets them first.
RESET_BY_RELOAD = frozenset(
    ["authorization-plugins", "features", "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"]
)
# Defaults of dockerd that no release from 20.10 on has changed: a key at its default equals a missing one.
DEFAULTS: Config = {
    "debug": False,
    "icc": True,
    "ip-forward": True,
    "ip-masq": True,
    "iptables": True,
    "ipv6": False,
    "live-restore": False,
    "log-driver": "json-file",
    "max-concurrent-downloads": 3,
    "max-concurrent-uploads": 5,
    "no-new-privileges": False,
    "selinux-enabled": False,
    "shutdown-timeout": 15,
    "userland-proxy": True,
}
# dockerd leaves docker0 as it is while containers run over a restart (live-restore), so these wait for their end.
BRIDGE_KEYS = frozenset(
    [
        "bip",
        "bridge",
        "default-gateway",
        "fixed-cidr",
        "icc",
        "ip",
        "ip-masq",
        "iptables",
        "ipv6",
        "mtu",
        "userland-proxy",
    ]
)
# Keys whose object is a value in itself; of other objects dockerd compares the inner names with its flags.
MAP_KEYS = frozenset(
    ["builder", "cluster-store-opts", "default-network-opts", "default-ulimits", "features", "log-opts", "runtimes"]
)
# Keys that are named otherwise on the command line.
FLAG_OF = {
    "authorization-plugins": "authorization-plugin",
    "cluster-store-opts": "cluster-store-opt",
    "default-address-pools": "default-address-pool",
    "default-network-opts": "default-network-opt",
    "default-ulimits": "default-ulimit",
    "dns-opts": "dns-opt",
    "exec-opts": "exec-opt",
    "features": "feature",
    "hosts": "host",
    "insecure-registries": "insecure-registry",
    "labels": "label",
    "log-opts": "log-opt",
    "node-generic-resources": "node-generic-resource",
    "registry-mirrors": "registry-mirror",
    "runtimes": "add-runtime",
    "storage-opts": "storage-opt",
}
KEY_OF = {flag: key for key, flag in FLAG_OF.items()}
WITHOUT_FLAG = frozenset(["builder", "deprecated-key-path", "features", "network-diagnostic-port"])
SHORT_FLAGS = {
    "-b": "bridge",
    "-D": "debug",
    "-G": "group",
    "-H": "host",
    "-l": "log-level",
    "-p": "pidfile",
    "-s": "storage-driver",
}
USER_CHAIN, USER_JUMP = "filter: chain DOCKER-USER", "filter: jump from FORWARD to DOCKER-USER"
DEFAULT_SOCKET = "unix:///var/run/docker.sock"


class ConfigError(Exception):
    """daemon.json or the settings cannot be used as they are; the text is for the user."""


@dataclass(frozen=True)
class Entry:
    """One value of ours in daemon.json, and what to put back; None stands for "not there"."""

    path: Path
    value: t.Any
    previous: t.Any
    existed: int  # how many parts of the path were there before: says which emptied objects are ours to remove

    @property
    def name(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)


@dataclass(frozen=True)
class Ledger:
    """What this collection did to an engine; survives reboots."""

    entries: tuple[Entry, ...] = ()
    created: bool = False  # daemon.json did not exist
    original: str = ""  # its text before our first entry, so that it comes back as it was written
    package: str = ""  # the package that came from us
    undo: dict[str, t.Any] | None = None  # the last file Docker ran with, while a change is under way

    def dump(self) -> str:
        """The text kept on the host."""
        entries = [
            {"path": list(e.path), "value": e.value, "previous": e.previous, "existed": e.existed} for e in self.entries
        ]
        return (
            json.dumps(
                {
                    "entries": entries,
                    "created": self.created,
                    "original": self.original,
                    "package": self.package,
                    "undo": self.undo,
                },
                indent=2,
            )
            + "\n"
        )

    @classmethod
    def parse(cls, text: str) -> Ledger:
        """The reverse of dump(); ValueError, KeyError or TypeError for anything else."""
        data = json.loads(text)
        entries = tuple(Entry(tuple(e["path"]), e["value"], e["previous"], e["existed"]) for e in data["entries"])
        return cls(entries, data["created"], data["original"], data["package"], data["undo"])


@dataclass(frozen=True)
class Loaded:
    """What the running dockerd has read, as far as that is known; None stands for "not set"."""

    config: Config = field(default_factory=dict)
    complete: bool = False

    def differs(self, key: str, want: t.Any) -> bool:
        """Whether dockerd has, or may have, another value."""
        if key not in self.config and not self.complete:
            return True
        return effective(key, self.config.get(key)) != effective(key, want)

    def with_values(self, values: Config) -> Loaded:
        """The same, with values known from a better source."""
        return replace(self, config={**self.config, **values})


@dataclass(frozen=True)
class Container:
    """A running container and what a restart of Docker does to it."""

    name: str
    policy: str
    auto_remove: bool

    def outcome(self, live_restore: bool) -> str:
        """What becomes of it. on-failure counts as stopped: that policy does not cover a restart of the daemon."""
        if self.auto_remove:
            return "removed"  # by 20.10.24 even with live-restore
        if live_restore:
            return "kept"
        return "restarted" if self.policy in ("always", "unless-stopped") else "stopped"


@dataclass(frozen=True)
class FilePlan:
    """The file to be, and the ledger during and after the change."""

    config: Config
    interim: Ledger
    final: Ledger
    foreign: tuple[str, ...]  # once ours, since changed by someone else, now theirs

    @property
    def owned(self) -> set[str]:
        """The top-level keys that have to be loaded."""
        return {entry.path[0] for entry in self.interim.entries}


def effective(key: str, value: t.Any) -> t.Any:
    """The value dockerd works with."""
    return DEFAULTS.get(key) if value is None else value


def parse_config(data: bytes, path: str) -> Config:
    """Read daemon.json; an empty file is an empty object, as for dockerd."""
    remedy = f"Nothing was changed. Correct the file or move it away, then run again; 'python3 -m json.tool {path}' checks it."
    try:
        text = data.decode("utf-8")
        config = json.loads(text) if text.strip() else {}
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 text: byte {exc.start}. {remedy}") from exc
    except json.JSONDecodeError as exc:
        line = exc.doc.splitlines()[exc.lineno - 1].strip() if exc.doc.splitlines()[exc.lineno - 1 :] else ""
        raise ConfigError(
            f"{path} is not valid JSON: {exc.msg}, line {exc.lineno} column {exc.colno} ({line[:80]!r}). {remedy}"
        ) from exc
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds a JSON {type(config).__name__}, dockerd takes only an object. {remedy}")
    return config


def dump_config(config: Config, like: bytes | None) -> bytes:
    """Write daemon.json, indented the way it was."""
    found = re.search(rb"\n([ \t]+)\"", like or b"")
    return (json.dumps(config, indent=found.group(1).decode() if found else 2, ensure_ascii=False) + "\n").encode()


def leaves(settings: t.Mapping[str, t.Any], prefix: Path = ()) -> dict[Path, t.Any]:
    """Flatten nested objects into path -> value; lists and empty objects are values."""
    found: dict[Path, t.Any] = {}
    for key, value in settings.items():
        path = (*prefix, str(key))
        found.update(leaves(value, path) if isinstance(value, dict) and value else {path: value})
    return found


def lookup(config: Config, path: Path) -> tuple[t.Any, int]:
    """Return the value (None if there is none) and how many parts of the path exist."""
    here: t.Any = config
    for depth, part in enumerate(path):
        if not isinstance(here, dict) or here.get(part) is None:
            return None, depth
        here = here[part]
    return here, len(path)


def put(config: Config, path: Path, value: t.Any, keep: int) -> None:
    """Set or (None) remove a value; objects left empty below depth keep go too."""
    chain = [config]
    for part in path[:-1]:
        below = chain[-1].get(part)
        if below is None:
            if value is None:
                return
            below = chain[-1][part] = {}
        if not isinstance(below, dict):
            raise ConfigError(
                f"settings has an object at '{part}' of {'.'.join(path)}, daemon.json has {below!r} there; change one of the two."
            )
        chain.append(below)
    if value is not None:
        if not (value == {} and isinstance(chain[-1].get(path[-1]), dict)):
            chain[-1][path[-1]] = copy.deepcopy(value)
        return
    chain[-1].pop(path[-1], None)
    for depth in range(len(path) - 1, keep, -1):
        if not chain[depth]:
            del chain[depth - 1][path[depth - 1]]


def file_text(config: Config, like: bytes | None, ledger: Ledger) -> bytes:
    """The file for a config: as it was found once nothing of ours is left in it, else in the style of the present one."""
    original = ledger.original.encode()
    if original and parse_config(original, "") == config:
        return original
    return dump_config(config, like)


def recorded(ledger: Ledger) -> Config:
    """The settings that earlier calls made, as they were given: the inverse of leaves()."""
    settings: Config = {}
    for entry in ledger.entries:
        here = settings
        for part in entry.path[:-1]:
            here = here.setdefault(part, {})
        here[entry.path[-1]] = entry.value
    return settings


def plan_file(have: Config, settings: Config, ledger: Ledger) -> FilePlan:
    """Merge settings into the file and give back what is ours but no longer wanted."""
    wanted = leaves(settings)
    config = copy.deepcopy(have)
    old = {entry.path: entry for entry in ledger.entries}
    foreign = []
    # Deepest knowledge first: an object that only our later entries filled must be empty before the first entry looks at it.
    for entry in sorted(old.values(), key=lambda e: -e.existed):
        if entry.path in wanted:
            continue
        now = lookup(config, entry.path)[0]
        if now == entry.value or _left_staged(entry, now):
            put(config, entry.path, entry.previous, entry.existed)
        elif now != entry.previous:
            foreign.append(entry.name)
    final = []
    for path, value in wanted.items():
        previous, existed = lookup(have, path)
        known = old.get(path)
        final.append(replace(known, value=value) if known else Entry(path, value, previous, existed))
        put(config, path, value, final[-1].existed)
    after = replace(ledger, entries=tuple(final), undo=None)
    interim = replace(ledger, entries=(*final, *(entry for path, entry in old.items() if path not in wanted)))
    return FilePlan(config, interim, after, tuple(sorted(foreign)))


def _left_staged(entry: Entry, now: t.Any) -> bool:
    """Whether a run was cut off between the reload from staged() and the final file."""
    key = entry.path[0]
    return len(entry.path) == 1 and entry.previous is None and key in RELOADABLE and now == DEFAULTS.get(key, entry)


def pending_keys(loaded: Loaded, have: Config, want: Config, owned: t.Iterable[str]) -> list[str]:
    """The keys of ours that the running dockerd has not loaded as wanted. Pending edits of others are theirs to load."""
    changed = {key for key in {*have, *want} if have.get(key) != want.get(key)}
    return sorted(key for key in {*owned, *changed} if loaded.differs(key, want.get(key)))


def plan_action(pending: t.Sequence[str], want: Config) -> str:
    """Say what loads the pending keys: nothing, a reload or a restart."""
    if not pending:
        return "none"
    for key in pending:
        if key not in RELOADABLE or (want.get(key) is None and key not in RESET_BY_RELOAD and key not in DEFAULTS):
            return "restart"
    return "reload"


def staged(pending: t.Sequence[str], want: Config) -> Config:
    """The file to reload from: keys that are to go stand in it with their defaults, or dockerd would keep the old values.

    So a live-restore that is taken back costs no restart, which is what interrupts containers.
    """
    gone = [key for key in pending if key in RELOADABLE and key in DEFAULTS and want.get(key) is None]
    return {**want, **{key: DEFAULTS[key] for key in gone if key not in RESET_BY_RELOAD}}


def after_reload(loaded: Loaded, want: Config) -> Loaded:
    """What dockerd has loaded once it has read the file again."""
    keys = {
        key
        for key in {*loaded.config, *want}
        if key in RELOADABLE and (want.get(key) is not None or key in RESET_BY_RELOAD)
    }
    return loaded.with_values({key: want.get(key) for key in keys})


def parse_flags(argv: t.Sequence[str]) -> dict[str, list[str]]:
    """The flags of a dockerd command line; a flag without a value counts as true."""
    flags: dict[str, list[str]] = {}
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        name, mark, value = word.partition("=")
        if not word.startswith("-"):
            continue
        if not word.startswith("--"):
            name, value, mark = SHORT_FLAGS.get(word[:2], word[:2]), word[2:].lstrip("="), word[2:]
        if not mark and words and not words[0].startswith("-"):
            mark, value = "=", words.pop(0)
        flags.setdefault(name.lstrip("-"), []).append(value if mark else "true")
    return flags


def _flat(config: Config) -> Config:
    found: Config = {}
    for key, value in config.items():
        found.update(value if isinstance(value, dict) and key not in MAP_KEYS else {key: value})
    return found


def conflicts(config: Config, flags: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """Keys set in the file and on the command line as well: dockerd does not start then (runtimes alone may be in both)."""
    found = []
    for key, value in sorted(_flat(config).items()):
        flag = key if key in flags else FLAG_OF.get(key, key)
        if flag in flags and key != "runtimes":
            found.append(f"{key} (file: {json.dumps(value)}, flag: --{flag} {' '.join(flags[flag])})")
    return found


def misnamed(settings: Config) -> list[str]:
    """Flag names used as keys: dockerd accepts and ignores them."""
    return [f"'{key}' (a flag; the key in the file is '{KEY_OF[key]}')" for key in sorted(settings) if key in KEY_OF]


def unknown_keys(settings: Config, usage: str) -> list[str]:
    """Keys this dockerd does not know, by its own --help: for releases without --validate, which refuse to start with them."""
    known = set(re.findall(r"--([a-z0-9-]+)", usage))
    return [
        key
        for key in sorted(_flat(settings))
        if key not in known and FLAG_OF.get(key) not in known and key not in WITHOUT_FLAG
    ]


def iptables_wanted(config: Config, flags: t.Mapping[str, t.Sequence[str]]) -> bool:
    """Whether Docker keeps iptables chains; its nftables backend (29) has none."""
    value = flags.get("iptables", [""])[-1].lower()
    backend = flags.get("firewall-backend", [config.get("firewall-backend")])[-1]
    return config.get("iptables", True) is not False and value not in ("false", "0", "f") and backend != "nftables"


def missing_chains(nat: str, filtering: str) -> list[str]:
    """What Docker's own rules lack, from 'iptables -S' of both tables.

    FORWARD leads to DOCKER-ISOLATION-STAGE-1 up to Docker 27 and to DOCKER-FORWARD from 28 on.
    """
    wanted = (
        (nat, r"-N DOCKER$", "nat: chain DOCKER"),
        (nat, r"-A PREROUTING .*-j DOCKER$", "nat: jump from PREROUTING to DOCKER"),
        (filtering, r"-N DOCKER$", "filter: chain DOCKER"),
        (filtering, r"-A FORWARD -j DOCKER-(ISOLATION-STAGE-1|FORWARD)$", "filter: jump from FORWARD to Docker"),
        (filtering, r"-N DOCKER-USER$", USER_CHAIN),
        (filtering, r"-A FORWARD -j DOCKER-USER$", USER_JUMP),
    )
    return [name for text, pattern, name in wanted if not re.search("^" + pattern, text, re.MULTILINE)]


def user_chain_rules(gone: t.Collection[str]) -> list[list[str]] | None:
    """The iptables calls that make up for these losses, as Docker itself would; None if it takes a restart.

    Docker makes DOCKER-USER when it creates a network. A restart over which containers live (live-restore) creates none,
    so it brings back all rules but these (seen with 20.10.24).
    """
    if not {USER_CHAIN, USER_JUMP}.issuperset(gone):
        return None
    rules = [["-N", "DOCKER-USER"], ["-A", "DOCKER-USER", "-j", "RETURN"]] if USER_CHAIN in gone else []
    return rules + ([["-I", "FORWARD", "-j", "DOCKER-USER"]] if USER_JUMP in gone else [])


def parse_show(text: str) -> dict[str, str]:
    """The answer of 'systemctl show' for one unit."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def unit_argv(show: t.Mapping[str, str], env_files: t.Mapping[str, str]) -> list[str]:
    """The command line systemd will use, variables filled in; [] if there is none."""
    found = re.search(r"argv\[\]=(.*?) ; (?:ignore_errors|flags)=", show.get("ExecStart", ""))
    if not found:
        return []
    env: dict[str, str] = {}
    for word in shlex.split(show.get("Environment", "")):
        env[word.partition("=")[0]] = word.partition("=")[2]
    for text in env_files.values():
        for line in text.splitlines():
            name, mark, value = line.strip().partition("=")
            if mark and not name.startswith(("#", ";")):
                env[name.strip()] = value.strip().strip("\"'")
    argv: list[str] = []
    for word in found.group(1).split():
        if re.fullmatch(r"\$\w+", word):  # a bare variable is split into words, one in braces is not
            argv += env.get(word[1:], "").split()
        else:
            argv.append(re.sub(r"\$\{(\w+)\}", lambda match: env.get(match.group(1), ""), word))
    return argv


def start_ticks(stat: str) -> int:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold anything, so count from its end."""
    return int(stat.rpartition(")")[2].split()[19])


def failure_reason(journal: t.Sequence[str]) -> str:
    """The line of a journal that tells why dockerd gave up; empty if none does."""
    for pattern in ("failed to start daemon", "unable to configure", "level=fatal", "reconfiguring the daemon"):
        for line in reversed(journal):
            if pattern in line:
                return line.strip()
    return ""


def gist(journal: t.Sequence[str]) -> list[str]:
    """The last lines worth showing; dockerd logs a dozen lines about its connections at every start."""
    return [line for line in journal if "level=info" not in line][-20:]
