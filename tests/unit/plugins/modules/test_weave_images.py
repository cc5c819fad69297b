# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""weave_images with the answers of Docker Engine 20.10."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.modules import weave_images

NAMES = ["rajchaudhuri/weave:2.9.0", "rajchaudhuri/weaveexec:2.9.0", "rajchaudhuri/weavedb:latest"]
VERSION = ("docker", "version", "--format", "{{.Server.Version}}")
INSPECT = ("docker", "image", "inspect", *NAMES)
ID, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
DIGEST = "sha256:" + "d" * 64


def inspected(*names: str, ident: str = ID) -> str:
    """What 'docker image inspect' prints for these images."""
    return json.dumps(
        [
            {"Id": ident, "RepoTags": [name, "other/tag:1"], "RepoDigests": [f"{name.split(':')[0]}@{DIGEST}"]}
            for name in names
        ]
    )


def absent(*names: str) -> str:
    """What it says about images that are not there."""
    return "".join(f"Error: No such image: {name}\n" for name in names)


def engine(fake_cli: t.Any) -> t.Any:
    """A Docker Engine that answers."""
    return fake_cli.expect(*VERSION, out="20.10.24+dfsg1\n")


def test_images_that_are_there_cost_two_questions(fake_cli: t.Any, run_module: t.Any) -> None:
    """And no registry is asked."""
    engine(fake_cli).expect(*INSPECT, out=inspected(*NAMES))
    result = run_module(weave_images.main)
    assert not result["changed"]
    assert result["commands"] == []
    assert [image["name"] for image in result["images"]] == NAMES
    assert result["images"][0] == {"name": NAMES[0], "id": ID, "digests": [DIGEST]}


def test_missing_ones_are_pulled(fake_cli: t.Any, run_module: t.Any) -> None:
    """Only those, and then looked at."""
    engine(fake_cli).expect(*INSPECT, rc=1, out=inspected(NAMES[2]), err=absent(*NAMES[:2]))
    for name in NAMES[:2]:
        fake_cli.expect("docker", "image", "pull", "--quiet", name, out=name)
    fake_cli.expect(*INSPECT, out=inspected(*NAMES))
    result = run_module(weave_images.main)
    assert result["changed"]
    assert result["commands"] == [f"/usr/bin/docker image pull --quiet {name}" for name in NAMES[:2]]
    assert result["diff"] == {"before": {"images": [NAMES[2]]}, "after": {"images": NAMES}}


def test_mirror(fake_cli: t.Any, run_module: t.Any) -> None:
    """Under the script's names in the end, and no other."""
    engine(fake_cli).expect(*INSPECT, rc=1, out=inspected(*NAMES[:2]), err=absent(NAMES[2]))
    mirrored = f"registry.example:5000/m/{NAMES[2]}"
    fake_cli.expect("docker", "image", "pull", "--quiet", mirrored)
    fake_cli.expect("docker", "image", "tag", mirrored, NAMES[2])
    fake_cli.expect("docker", "image", "rm", mirrored)
    fake_cli.expect(*INSPECT, out=inspected(*NAMES))
    assert run_module(weave_images.main, registry="registry.example:5000/m/")["changed"]


def test_archive(fake_cli: t.Any, run_module: t.Any, tmp_path: pathlib.Path) -> None:
    """One load brings all, and no registry is asked."""
    archive = tmp_path / "weave.tar"
    archive.touch()
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    fake_cli.expect("docker", "image", "load", "--quiet", "--input", str(archive))
    fake_cli.expect(*INSPECT, out=inspected(*NAMES))
    result = run_module(weave_images.main, archive=str(archive), registry="registry.example")
    assert result["commands"] == [f"/usr/bin/docker image load --quiet --input {archive}"]


def test_archive_without_the_image(fake_cli: t.Any, run_module: t.Any, tmp_path: pathlib.Path) -> None:
    """Read back, because Docker loads anything without a word."""
    archive = tmp_path / "weave.tar"
    archive.touch()
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    fake_cli.expect("docker", "image", "load", "--quiet", "--input", str(archive))
    fake_cli.expect(*INSPECT, rc=1, out=inspected(*NAMES[:2]), err=absent(NAMES[2]))
    result = run_module(weave_images.main, archive=str(archive))
    assert result["failed"]
    assert f"The archive {archive} does not hold the image {NAMES[2]}. On a machine that has" in result["msg"]


def test_archive_that_is_not_there(fake_cli: t.Any, run_module: t.Any) -> None:
    """Said before anything is done."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    assert "The archive /none.tar is not on this host" in run_module(weave_images.main, archive="/none.tar")["msg"]


REFUSED = (
    'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp 127.0.0.1:443: connect: '
    "connection refused\n"
)


def test_registry_out_of_reach(fake_cli: t.Any, run_module: t.Any) -> None:
    """The image, the registry's words, and the way without it."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    fake_cli.expect("docker", "image", "pull", "--quiet", NAMES[0], rc=1, err=REFUSED)
    result = run_module(weave_images.main)
    assert f"The image {NAMES[0]} could not be pulled: {REFUSED.strip()}." in result["msg"]
    assert f"docker save --output weave.tar {' '.join(NAMES)}" in result["msg"]
    assert "weave_image_archive" in result["msg"]
    assert (result["rc"], result["stderr"]) == (1, REFUSED)


def test_pull_that_does_not_end(fake_cli: t.Any, run_module: t.Any) -> None:
    """Is ended, and says so."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    fake_cli.expect("docker", "image", "pull", "--quiet", NAMES[0], rc=124, timed_out=True)
    assert "did not end within" in run_module(weave_images.main)["msg"]


def test_broken_archive(fake_cli: t.Any, run_module: t.Any, tmp_path: pathlib.Path) -> None:
    """In Docker's words."""
    archive = tmp_path / "weave.tar"
    archive.touch()
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    words = "Error processing tar file(exit status 1): unexpected EOF\n"
    fake_cli.expect("docker", "image", "load", "--quiet", "--input", str(archive), rc=1, err=words)
    assert (
        f"The archive {archive} could not be loaded: {words.strip()}"
        in run_module(weave_images.main, archive=str(archive))["msg"]
    )


@pytest.mark.parametrize(
    "expected", [pytest.param(ID.upper().replace("SHA", "sha"), id="id"), pytest.param(DIGEST, id="digest")]
)
def test_expected_image(fake_cli: t.Any, run_module: t.Any, expected: str) -> None:
    """Its own id or the registry's digest will do."""
    engine(fake_cli).expect(*INSPECT, out=inspected(*NAMES))
    assert not run_module(weave_images.main, expected={"weave": expected})["changed"]


def test_another_image_of_that_name_is_replaced(fake_cli: t.Any, run_module: t.Any) -> None:
    """And it is no success if it still is another."""
    engine(fake_cli).expect(*INSPECT, out=inspected(*NAMES))
    fake_cli.expect("docker", "image", "pull", "--quiet", NAMES[1])
    fake_cli.expect(*INSPECT, out=inspected(*NAMES))
    result = run_module(weave_images.main, expected={"weaveexec": OTHER})
    assert f"The image {NAMES[1]} of the registry is {ID}, and expected is {OTHER}" in result["msg"]


def test_removal(fake_cli: t.Any, run_module: t.Any) -> None:
    """Of those that are there."""
    engine(fake_cli).expect(*INSPECT, rc=1, out=inspected(NAMES[0]), err=absent(*NAMES[1:]))
    fake_cli.expect("docker", "image", "rm", NAMES[0])
    fake_cli.expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    result = run_module(weave_images.main, state="absent")
    assert result["changed"]
    assert result["images"] == []
    assert result["diff"] == {"before": {"images": [NAMES[0]]}, "after": {"images": []}}


def test_removal_of_an_image_in_use(fake_cli: t.Any, run_module: t.Any) -> None:
    """Is left to the operator."""
    words = f'Error response from daemon: conflict: unable to remove repository reference "{NAMES[0]}" (must force)'
    engine(fake_cli).expect(*INSPECT, rc=1, out=inspected(NAMES[0]), err=absent(*NAMES[1:]))
    fake_cli.expect("docker", "image", "rm", NAMES[0], rc=1, err=words)
    result = run_module(weave_images.main, state="absent")
    assert f"could not be removed: {words}. Remove the containers that use it first." in result["msg"]


def test_nothing_to_remove(fake_cli: t.Any, run_module: t.Any) -> None:
    """With and without Docker."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    assert not run_module(weave_images.main, state="absent")["changed"]
    fake_cli.missing.add("docker")
    assert not run_module(weave_images.main, state="absent")["changed"]


def test_check_mode(fake_cli: t.Any, run_module: t.Any) -> None:
    """Predicts the pull, and an archive need not have been copied yet."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err=absent(*NAMES))
    result = run_module(weave_images.main, check_mode=True, archive="/none.tar")
    assert result["changed"]
    assert result["commands"] == ["/usr/bin/docker image load --quiet --input /none.tar"]
    assert result["diff"]["after"] == {"images": NAMES}


def test_check_mode_before_docker_is_installed(fake_cli: t.Any, run_module: t.Any) -> None:
    """Predicts the pulls."""
    fake_cli.missing.add("docker")
    result = run_module(weave_images.main, check_mode=True)
    assert result["commands"] == [f"docker image pull --quiet {name}" for name in NAMES]


def test_missing_docker_is_an_error_with_its_package(fake_cli: t.Any, run_module: t.Any) -> None:
    """Outside check mode."""
    fake_cli.missing.add("docker")
    assert "install the package 'docker.io'" in run_module(weave_images.main)["msg"]


def test_silent_docker(fake_cli: t.Any, run_module: t.Any) -> None:
    """The tool's own words, and what to do."""
    words = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    fake_cli.expect(*VERSION, rc=1, err=words)
    result = run_module(weave_images.main)
    assert words in result["msg"]
    assert "systemctl start docker" in result["msg"]


def test_other_errors_are_not_taken_for_a_missing_image(fake_cli: t.Any, run_module: t.Any) -> None:
    """Or a daemon that stops answering would end in a pull."""
    engine(fake_cli).expect(*INSPECT, rc=1, out="[]\n", err="Error response from daemon: i/o timeout\n")
    assert "i/o timeout" in run_module(weave_images.main)["msg"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"image_source": "Upper/Case"}, "image_source 'Upper/Case'", id="source"),
        pytest.param({"image_source": ""}, "image_source ''", id="no-source"),
        pytest.param({"image_source": "a b"}, "image_source 'a b'", id="source-with-a-space"),
        pytest.param({"registry": "--config=x"}, "registry '--config=x'", id="registry"),
        pytest.param({"version": "2.9.0 --all"}, "version '2.9.0 --all'", id="version"),
        pytest.param({"expected": {"wave": ID}}, "expected names 'wave'", id="kind"),
        pytest.param({"expected": {"weave": "a" * 64}}, "has to be sha256:", id="digest"),
        pytest.param({"timeout": 0}, "timeout 0", id="timeout"),
    ],
)
def test_bad_input_is_refused_before_docker_is_asked(
    fake_cli: t.Any, run_module: t.Any, options: dict[str, t.Any], reason: str
) -> None:
    """No command is run."""
    assert reason in run_module(weave_images.main, **options)["msg"]
