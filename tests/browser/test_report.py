# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's page in headless Chromium: "make browser". CHROMIUM names the program."""

from __future__ import annotations

import functools
import html.parser
import http.server
import os
import pathlib
import struct
import subprocess
import threading
import typing as t
import zlib

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _report_document, _report_html
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils import report_data

CHROMIUM = os.environ.get("CHROMIUM", "chromium")
OPTIONS = [
    "--headless",
    "--no-sandbox",  # the tests run as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",  # what the page's console says, among it everything that the page's policy refused
]
SCHEMES = {"light": 1, "dark": 0}
CASES: dict[str, tuple[t.Any, t.Any]] = {
    "healthy": (report_data.healthy(), ()),
    "faulty": report_data.faulty(),
    "large": report_data.large(),
    "weave": (report_data.with_weave(), ()),
    "hostile": report_data.hostile(),
}


class Texts(html.parser.HTMLParser):
    """The page as the browser had it in the end: the names of its elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Browser:
    """Opens pages, each time with a profile of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.count = folder, 0

    def run(self, page: pathlib.Path, *options: str) -> tuple[str, str]:
        """What the browser printed, and what it logged."""
        self.count += 1
        profile = self.folder / f"profile{self.count}"
        argv = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    def dom(self, page: pathlib.Path) -> str:
        """The page after its script has run; fails if anything was refused or went wrong."""
        text, log = self.run(page, "--dump-dom")
        assert "CONSOLE" not in log, log
        return text

    def picture(self, page: pathlib.Path, scheme: str, size: str = "1280,2600") -> list[bytes]:
        """The rows of a picture of the page, at half its size: unpacking it here takes its time."""
        target = self.folder / f"{page.stem}-{scheme}-{size}.png"
        options = [
            f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
            f"--window-size={size}",
            "--force-device-scale-factor=0.5",
        ]
        self.run(page, *options, f"--screenshot={target}")
        return pixels(target.read_bytes())


def pixels(png: bytes) -> list[bytes]:
    """The rows of a PNG picture with 8 bits a channel, unpacked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    packed, position = b"", 8
    width = height = channels = 0
    while position < len(png):
        size, kind = struct.unpack(">I4s", png[position : position + 8])
        data = png[position + 8 : position + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[:10])
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            packed += data
        position += size + 12
    raw, stride = zlib.decompress(packed), width * channels
    rows: list[bytes] = []
    before = bytes(stride)
    for row in range(height):
        start = row * (stride + 1)
        before = unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, channels)
        rows.append(b"".join(before[index : index + 3] for index in range(0, stride, channels)))
    return rows


def unfilter(kind: int, line: bytearray, above: bytes, step: int) -> bytes:
    """Undo the filter of one row."""
    for index in range(len(line)):
        left = line[index - step] if index >= step else 0
        corner = above[index - step] if index >= step else 0
        up = above[index]
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            guess = min(
                (abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner)
            )[2]
        else:
            break
        line[index] = (line[index] + guess) & 255
    return bytes(line)


def colours(rows: list[bytes]) -> dict[bytes, int]:
    """How often each colour occurs, on every fourth row."""
    found: dict[bytes, int] = {}
    for row in rows[::4]:
        for index in range(0, len(row), 3):
            found[row[index : index + 3]] = found.get(row[index : index + 3], 0) + 1
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with all pages."""
    made = tmp_path_factory.mktemp("report")
    for name, (case, findings) in CASES.items():
        doc = _report_document.document(case, findings, report_data.MADE, report_data.VERSION)
        (made / f"{name}.html").write_text(_report_html.html(doc), encoding="utf-8")
    return made


@pytest.fixture(scope="session")
def browser(folder: pathlib.Path) -> Browser:
    return Browser(folder)


@pytest.mark.parametrize("name", CASES)
def test_page_runs_its_script_and_nothing_is_refused(browser: Browser, folder: pathlib.Path, name: str) -> None:
    page = Texts(browser.dom(folder / f"{name}.html"))
    assert '<html lang="en" class="js">' in browser.dom(folder / f"{name}.html")
    commands = sum(len(finding.commands) for finding in CASES[name][1])
    assert page.elements.count("button") == commands
    assert page.elements.count("table") >= 1


def test_hostile_strings_are_text(browser: Browser, folder: pathlib.Path) -> None:
    page = folder / "hostile.html"
    dom = browser.dom(page)
    made, sent = Texts(dom), Texts(page.read_text(encoding="utf-8"))
    assert "<title>Broken: Overlay report</title>" in dom
    assert "<script>document.title='owned'</script>" in "".join(made.texts)
    # The browser has found the same elements as were written, and those that the script adds.
    assert [tag for tag in made.elements if tag != "button"] == sent.elements
    assert "img" not in made.elements


def test_policy_stops_what_an_escape_would_let_through(browser: Browser, folder: pathlib.Path) -> None:
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *dummy_args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}"
        evil = (
            f'<img src="{place}/img" onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
            f'<script src="{place}/script"></script><link rel="stylesheet" href="{place}/style"><iframe src="{place}/frame"></iframe>'
        )
        text = (folder / "healthy.html").read_text(encoding="utf-8")
        broken = folder / "broken.html"
        for policy in (True, False):  # without the policy all of it happens, so the test can tell
            shown = text if policy else text.replace("Content-Security-Policy", "X-None")
            broken.write_text(shown.replace("</main>", evil + "</main>"), encoding="utf-8")
            dummy_dom, log = browser.run(broken, "--dump-dom", "--virtual-time-budget=3000")
            assert ("Refused to" in log or "violates" in log) is policy
            assert ("<title>owned</title>" in dummy_dom) is not policy
            assert (asked == []) is policy
        server.shutdown()


@functools.cache
def _seen(browser: Browser, page: pathlib.Path, scheme: str) -> dict[bytes, int]:
    return colours(browser.picture(page, scheme))


@pytest.mark.parametrize("name", ["healthy", "faulty", "large"])
@pytest.mark.parametrize(("scheme", "background"), [("light", "ffffff"), ("dark", "10151b")])
def test_picture(browser: Browser, folder: pathlib.Path, name: str, scheme: str, background: str) -> None:
    seen = _seen(browser, folder / f"{name}.html", scheme)
    assert max(seen, key=lambda colour: seen[colour]) == bytes.fromhex(background)
    assert len(seen) > 50
    failing = bytes.fromhex({"light": "a84300", "dark": "ff9d52"}[scheme])
    fast = bytes.fromhex({"light": "e3eefa", "dark": "1a3148"}[scheme])
    assert (seen.get(failing, 0) > 100) is (name != "healthy")
    assert seen.get(fast, 0) > 100


def test_a_narrow_window_needs_no_scrolling_sideways(browser: Browser, folder: pathlib.Path) -> None:
    # A frame of 420 pixels: the window itself cannot be that narrow. What sticks out would make the page wider than the frame.
    for name in CASES:
        frame = folder / f"narrow-{name}.html"
        frame.write_text(
            f'<body style="margin:0"><iframe src="{name}.html" width="420" height="900" style="border:0"></iframe>'
            "<script>onload = () => { const d = document.querySelector('iframe').contentDocument.documentElement;"
            "document.title = 'width ' + d.scrollWidth }</script>",
            encoding="utf-8",
        )
        dom, log = browser.run(frame, "--allow-file-access-from-files", "--dump-dom")
        assert "<title>width 420</title>" in dom, (name, dom[:300], log)
