# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""overlay_members: who is connected, who is taken off, and who is left alone."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._members import Member, Refusal, plan
from ansible_collections.crosshost.overlay.plugins.modules import overlay_members

WEB = Member("web", ("weave",), ("www",))
DB = Member("db", ("overlay", "weave"))
FORM = '{{json .Names}}\t{{json .State}}\t{{json (.Label "crosshost.overlay")}}\t{{json .Networks}}'
OPTIONS = {"source": "weave", "target": "overlay"}


def line(name: str, networks: str, label: str = "", state: str = "running") -> str:
    """One line of docker ps."""
    return "\t".join(json.dumps(item) for item in (name, state, label, networks))


def inspected(*names: str) -> str:
    """What docker inspect prints of containers on the network weave."""
    entries = [
        {
            "Id": f"id-of-{name}",
            "Name": f"/{name}",
            "NetworkSettings": {"Networks": {"weave": {"IPAddress": "10.32.0.2", "Aliases": ["www", f"id-of-{name}"]}}},
        }
        for name in names
    ]
    return json.dumps(entries)


def expect_look(fake_cli: t.Any, *lines: str, members: t.Sequence[str]) -> None:
    """The commands that read who is on the network."""
    fake_cli.expect(
        *("docker", "ps", "--all", "--no-trunc", "--filter", "network=weave", "--format", FORM), out="\n".join(lines)
    )
    if members:
        fake_cli.expect("docker", "inspect", *members, out=inspected(*members))


def expect_version(fake_cli: t.Any, rc: int = 0) -> None:
    """The question whether Docker answers."""
    fake_cli.expect("docker", "version", "--format", "{{.Server.Version}}", rc=rc, err="no daemon" if rc else "")


def test_those_that_are_not_there_yet_are_connected() -> None:
    """With their aliases."""
    steps = plan([WEB, DB], "weave", "overlay", "connected")
    assert steps == [["network", "connect", "--alias", "www", "overlay", "web"]]


def test_nobody_is_cut_off() -> None:
    """Neither the lonely one nor the others are disconnected."""
    with pytest.raises(Refusal, match="would be cut off: web"):
        plan([WEB, DB], "weave", "overlay", "disconnected")
    assert plan([DB], "weave", "overlay", "disconnected") == [["network", "disconnect", "weave", "db"]]


def test_connect(fake_cli: t.Any, run_module: t.Any) -> None:
    """Stopped ones too; the probe and what is only on a network of a similar name are not meant."""
    expect_version(fake_cli)
    lines = (line("web", "weave", state="exited"), line("probe", "weave", "probe"), line("other", "weave2"))
    expect_look(fake_cli, *lines, members=["web"])
    fake_cli.expect("docker", "network", "ls", "--format", "{{.Name}}", out="bridge\noverlay\nweave\n")
    fake_cli.expect("docker", "network", "connect", "--alias", "www", "overlay", "web")
    expect_look(fake_cli, line("web", "overlay,weave", state="exited"), members=["web"])
    result = run_module(overlay_members.main, **OPTIONS)
    assert result["changed"]
    assert result["members"] == ["web"]
    assert result["diff"] == {"before": {"web": ["weave"]}, "after": {"web": ["overlay", "weave"]}}


def test_check_mode_before_the_target_is_made(fake_cli: t.Any, run_module: t.Any) -> None:
    """It predicts and runs nothing."""
    expect_version(fake_cli)
    expect_look(fake_cli, line("web", "weave"), members=["web"])
    result = run_module(overlay_members.main, check_mode=True, **OPTIONS)
    assert result["changed"]
    assert result["commands"] == ["/usr/bin/docker network connect --alias www overlay web"]


def test_missing_target_is_refused(fake_cli: t.Any, run_module: t.Any) -> None:
    """Before the first change."""
    expect_version(fake_cli)
    expect_look(fake_cli, line("web", "weave"), members=["web"])
    fake_cli.expect("docker", "network", "ls", "--format", "{{.Name}}", out="bridge\nweave\n")
    assert "no Docker network 'overlay'" in run_module(overlay_members.main, **OPTIONS)["msg"]


def test_second_run(fake_cli: t.Any, run_module: t.Any) -> None:
    """Nothing is left to do."""
    expect_version(fake_cli)
    expect_look(fake_cli, line("web", "overlay,weave"), members=["web"])
    assert run_module(overlay_members.main, **OPTIONS)["changed"] is False


def test_disconnect(fake_cli: t.Any, run_module: t.Any) -> None:
    """Read back afterwards."""
    expect_version(fake_cli)
    expect_look(fake_cli, line("web", "overlay,weave"), members=["web"])
    fake_cli.expect("docker", "network", "disconnect", "weave", "web")
    expect_look(fake_cli, members=[])
    result = run_module(overlay_members.main, state="disconnected", **OPTIONS)
    assert result["changed"]
    assert result["diff"]["after"] == {"web": ["overlay"]}


def test_without_docker_there_is_nobody(fake_cli: t.Any, run_module: t.Any) -> None:
    """No error on a host that never had it."""
    fake_cli.missing.add("docker")
    assert run_module(overlay_members.main, **OPTIONS)["members"] == []


def test_silent_docker(fake_cli: t.Any, run_module: t.Any) -> None:
    """Named, with what to do."""
    expect_version(fake_cli, rc=1)
    assert "systemctl start docker" in run_module(overlay_members.main, **OPTIONS)["msg"]
