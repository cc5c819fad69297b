#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_images
short_description: Bring the images that Weave Net needs to a host, before any router stops
version_added: "0.1.0"
description:
  - Makes sure that the images C(weave) and C(weaveexec) of one version and C(weavedb:latest) are on the host, under the names that Weave Net's
    script uses. Images that are there are not pulled again.
  - Missing ones are loaded from O(archive), else pulled from O(registry), else pulled from Docker Hub.
  - Nothing else is touched; the router that runs goes on with its image.
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - Docker Engine and its command line client
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: Whether the images shall be on the host. An image that a container uses is not removed; the module fails and says so.
    type: str
    choices: [present, absent]
    default: present
  image_source:
    description: Account the images belong to, as in C(DOCKERHUB_USER).
    type: str
    default: rajchaudhuri
  version:
    description: Tag of C(weave) and C(weaveexec).
    type: str
    default: 2.9.0
  archive:
    description: File on the host, made by C(docker save), that holds the images under these names. No registry is asked then.
    type: path
  registry:
    description: Registry, with or without a path, that mirrors the images, for example V(registry.example.com/mirror). Empty is Docker Hub.
    type: str
    default: ""
  expected:
    description:
      - What an image has to be, by C(weave), C(weaveexec) or C(weavedb), as image id or registry digest (C(sha256:) and 64 hexadecimal digits).
      - One that is there under the name and is another is replaced; if it still is another then, the module fails.
    type: dict
    default: {}
  timeout:
    description: Seconds that each pull or load may take.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Pull the images
  crosshost.overlay.weave_images:

- name: Load them where there is no registry
  crosshost.overlay.weave_images:
    archive: /var/tmp/weave.tar
"""

RETURN = r"""
images:
  description: The images as they are after the change, each with V(name), V(id) and V(digests).
  returned: success
  type: list
  elements: dict
  sample: [{"name": "rajchaudhuri/weave:2.9.0", "id": "sha256:0d1c...", "digests": []}]
commands:
  description: Commands that were run, or in check mode would be.
  returned: always
  type: list
  elements: str
"""

import os
import re
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker, _weave_images
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, CliError
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_images import Image

REPOSITORY = re.compile(r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KINDS = ("weave", "weaveexec", "weavedb")


def invalid(params: t.Mapping[str, t.Any]) -> str | None:
    """Say what is wrong with the options, None when they are sound."""
    for option in ("image_source", "registry"):
        if (params[option] or option == "image_source") and not REPOSITORY.fullmatch(params[option].rstrip("/")):
            return f"{option} '{params[option]}' is not a name that Docker accepts (lower-case letters, digits and . _ - / :)"
    if not TAG.fullmatch(params["version"]):
        return f"version '{params['version']}' is not a tag that Docker accepts"
    for kind, digest in params["expected"].items():
        if kind not in KINDS:
            return f"expected names '{kind}', and the images are {', '.join(KINDS)}"
        if not DIGEST.fullmatch(str(digest).lower()):
            return f"expected {kind} is '{digest}', and it has to be sha256: and 64 hexadecimal digits"
    if params["timeout"] < 1:
        return f"timeout {params['timeout']} is less than a second"
    return None


def apply(module: AnsibleModule, docker: Cli, steps: list[list[str]], wanted: list[str]) -> None:
    """Run the commands, and say what to do where a registry cannot be reached."""
    for step in steps:
        try:
            docker.try_write(*step, timeout=module.params["timeout"])
        except CliError as exc:
            what = {
                "load": f"The archive {step[-1]} could not be loaded",
                "rm": f"The image {step[-1]} could not be removed",
            }
            remedy = {"rm": "Remove the containers that use it first"}.get(step[1], _weave_images.by_hand(wanted))
            said = exc.result.message if exc.result.timed_out else exc.result.reason
            module.fail_json(
                msg=f"{what.get(step[1], f'The image {step[-1]} could not be pulled')}: {said}. {remedy}.",
                commands=docker.commands,
                **exc.result.failure(),
            )


def check(
    module: AnsibleModule, docker: Cli, have: dict[str, Image], wanted: list[str], expected: dict[str, str]
) -> None:
    """Fail unless the images are there now, and are the expected ones."""
    for name in _weave_images.wrong(have, wanted, expected):
        origin = f"archive {module.params['archive']}" if module.params["archive"] else "registry"
        problem = f"The {origin} does not hold the image {name}"
        if name in have:
            problem = f"The image {name} of the {origin} is {have[name].id}, and expected is {expected[name]}"
        module.fail_json(msg=f"{problem}. {_weave_images.by_hand(wanted)}.", commands=docker.commands)


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "image_source": {"type": "str", "default": "rajchaudhuri"},
            "version": {"type": "str", "default": "2.9.0"},
            "archive": {"type": "path"},
            "registry": {"type": "str", "default": ""},
            "expected": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    present = params["state"] == "present"
    problem = invalid(params)
    if problem:
        module.fail_json(msg=f"{problem}.", commands=[])
    wanted = _weave_images.names(params["image_source"], params["version"])
    expected = {
        name: params["expected"][kind].lower() for kind, name in zip(KINDS, wanted) if params["expected"].get(kind)
    }
    optional = module.check_mode or not present
    docker = _docker.client_or_none(module, 60, optional, "running without these images")
    have = _weave_images.observe(docker, wanted) if docker else {}
    missing = _weave_images.wrong(have, wanted, expected)
    steps = (
        _weave_images.plan_present(missing, params["archive"], params["registry"])
        if present
        else _weave_images.plan_absent(have)
    )
    if present and missing and params["archive"] and not module.check_mode and not os.path.isfile(params["archive"]):
        module.fail_json(msg=f"The archive {params['archive']} is not on this host; copy it there.", commands=[])
    now = have
    if docker and steps:
        apply(module, docker, steps, wanted)
        if not module.check_mode:
            now = _weave_images.observe(docker, wanted)
            if present:
                check(module, docker, now, wanted, expected)
    after = wanted if present else []
    module.exit_json(
        changed=bool(steps),
        commands=docker.commands if docker else [" ".join(["docker", *step]) for step in steps],
        images=[asdict(now[name]) for name in wanted if name in now],
        diff={
            "before": {"images": [name for name in wanted if name not in missing] if present else sorted(have)},
            "after": {"images": after},
        },
    )


if __name__ == "__main__":
    main()
