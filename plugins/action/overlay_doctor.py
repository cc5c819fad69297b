# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor: looks at what all hosts told, says what is wrong, and writes reports. Documented with the module."""

from __future__ import annotations

import importlib
import pathlib
import re
import typing as t
from dataclasses import asdict
from datetime import UTC, datetime

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import Report
from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, Limits
from ansible_collections.crosshost.overlay.plugins.plugin_utils._resolve import resolve, underlay_name

display = Display()

COLLECTION = "crosshost.overlay"
UTILS = f"ansible_collections.{COLLECTION}.plugins.plugin_utils"
RESOLVE_TIMEOUT = 10  # seconds, for all names together
SPEC: dict[str, t.Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "left_out": {"type": "list", "elements": "str", "default": []},
    "infos": {"type": "dict", "default": {}},
    "unreachable": {"type": "dict", "default": {}},
    "clocks": {"type": "dict", "default": {}},
    "verify": {"type": "dict", "default": {}},
    "addresses": {"type": "dict", "default": {}},
    "backend": {"type": "str", "choices": ["", "ovs_gre", "weave"], "default": ""},
    "wish": {"type": "dict", "default": {}},
    "max_skew": {"type": "float", "default": 1.0},
    "fail_skew": {"type": "float", "default": 60.0},
    "report_html": {"type": "str", "default": ""},
    "report_json": {"type": "str", "default": ""},
    "prometheus": {"type": "str", "default": ""},
    "title": {"type": "str", "default": ""},
    "quiet": {"type": "bool", "default": False},
    "fail": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs on the controller alone, once for all hosts."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the findings, and print and write them."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _dummy_validation, args = self.validate_argument_spec(argument_spec=SPEC)
        args["addresses"] = args["addresses"] or addresses_of(args, task_vars or {})
        case = case_of(args)
        findings = _doctor.diagnose(case)
        summary = _doctor.summary(case, findings)
        if not args["quiet"]:
            display.display(f"{_doctor.table(case, findings)}\n{summary}")
        result.update(
            changed=False,
            commands=[],
            findings=[asdict(finding) for finding in findings],
            summary=summary,
            explanation=_doctor.explanation(findings),
            paths=write_reports(case, findings, args),
            msg=summary,
        )
        if args["fail"] and any(finding.severity == "error" for finding in findings):
            # Ansible prints the whole result of a failed task: what was told already does not belong there.
            del result["findings"]
            result.update(failed=True, msg=f"{summary}\n{result.pop('explanation')}")
        return result


def case_of(args: t.Mapping[str, t.Any]) -> Case:
    """Shape the options as a case. Results may be given as the modules returned them."""
    hosts = tuple(dict.fromkeys(args["hosts"]))
    return Case(
        hosts=hosts,
        infos={host: info_of(info) for host, info in args["infos"].items()},
        unreachable={str(host): str(why) for host, why in args["unreachable"].items()},
        clocks={host: found for host, found in args["clocks"].items() if isinstance(found, t.Mapping)},
        limits=Limits(args["max_skew"], args["fail_skew"]),
        report=report_of(args["verify"]),
        addresses={str(host): str(address) for host, address in args["addresses"].items() if address},
        backend=args["backend"] or None,
        wish=args["wish"],
        left_out=tuple(host for host in args["left_out"] if host not in hosts),
    )


def addresses_of(args: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Look underlay addresses up in the inventory. One that cannot be resolved is left out: the doctor works without."""
    hostvars = variables.get("hostvars") or {}
    names = {
        host: underlay_name(host, hostvars[host]) for host in [*args["hosts"], *args["left_out"]] if host in hostvars
    }
    found = resolve(list(names.values()), RESOLVE_TIMEOUT)
    return {host: found[name] for host, name in names.items() if name in found}


def info_of(result: t.Any) -> t.Mapping[str, t.Any]:
    """Return what overlay_info found, or why it did not."""
    if not isinstance(result, t.Mapping):
        return {"failed": "overlay_info returned nothing"}
    if result.get("failed") or ("overlay" not in result and {"msg", "module_stderr", "exception"} & set(result)):
        # What Python or the shell said instead of an answer is only in the second of them.
        said = [str(result[key]) for key in ("msg", "module_stderr") if result.get(key)]
        return {"failed": "\n".join(said) or "overlay_info failed"}
    found = result.get("overlay", result)
    return found if isinstance(found, t.Mapping) else {"failed": "overlay_info returned nothing"}


def report_of(verify: t.Mapping[str, t.Any]) -> t.Any:
    """Restore what verify_report judged; None when no packets were sent."""
    if not verify.get("hosts"):
        return None
    try:
        return Report.from_dict(verify)  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise AnsibleActionFail(
            f"The option verify is not what {COLLECTION}.verify_report returns as 'verify' ({exc}); pass it unchanged."
        ) from exc


def write_reports(case: Case, findings: t.Sequence[Finding], args: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Write what was asked for; the answer has the absolute path of each."""
    wanted = [name for name in ("report_html", "report_json", "prometheus") if args[name]]
    if not wanted:
        return {}
    # Loaded when needed: explaining a failure needs none of it.
    document = importlib.import_module(f"{UTILS}._report_document")
    made = document.document(case, findings, datetime.now(UTC), version(), args["title"])
    texts = {
        "report_html": lambda: importlib.import_module(f"{UTILS}._report_html").html(made),
        "report_json": lambda: document.as_json(made),
        "prometheus": lambda: importlib.import_module(f"{UTILS}._report_prometheus").prometheus(made),
    }
    write = importlib.import_module(f"{UTILS}._write").write
    return {name: str(write(args[name], texts[name](), name)) for name in wanted}


def version() -> str:
    """Return the version of this collection: that of the package, or of the working copy it is run from."""
    root = pathlib.Path(__file__).resolve().parents[2]
    for name, pattern in (("MANIFEST.json", r'"version": *"([^"]+)"'), ("galaxy.yml", r"^version: *(\S+)")):
        try:
            found = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return found.group(1)
    return ""
