# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking names up: packets, what counts as settled, and a name server that really answers on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe_names
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_names import (
    Lookups,
    Reply,
    Wanted,
    look_up,
    parse_reply,
    query,
)

# A question and its answer as RFC 1035 lays them out, written by hand: id 4660, "h2.weave.local", one record through a pointer.
QUESTION = bytes.fromhex(
    "1234 0100 0001 0000 0000 0000 02 6832 05 7765617665 05 6c6f63616c 00 0001 0001".replace(" ", "")
)
RECORD = bytes.fromhex("c00c 0001 0001 00000001 0004 0a280001".replace(" ", ""))
ANSWER = bytes.fromhex("1234 8580 0001 0001 0000 0000".replace(" ", "")) + QUESTION[12:] + RECORD
H2, H3 = Wanted("h2.weave.local", "10.40.0.1"), Wanted("h3.weave.local", "10.44.0.1")


def answer(question: bytes, addresses: t.Sequence[str] = (), code: int = 0) -> bytes:
    """Answer a question with addresses or a status."""
    records = b"".join(RECORD[:-4] + socket.inet_aton(address) for address in addresses)
    return question[:2] + struct.pack("!5H", 0x8580 | code, 1, len(addresses), 0, 0) + question[12:] + records


@pytest.mark.parametrize("fqdn", ["h2.weave.local", "h2.weave.local."], ids=["bare", "with a dot"])
def test_query(fqdn: str) -> None:
    assert query(0x1234, fqdn) == QUESTION


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        pytest.param(ANSWER, Reply(0x1234, 0, ("10.40.0.1",)), id="one address"),
        pytest.param(answer(QUESTION, ["10.2.0.1", "10.1.0.1"]), Reply(0x1234, 0, ("10.1.0.1", "10.2.0.1")), id="two"),
        pytest.param(answer(QUESTION, code=3), Reply(0x1234, 3, ()), id="no such name"),
        pytest.param(answer(QUESTION), Reply(0x1234, 0, ()), id="no address"),
        pytest.param(
            answer(QUESTION)[:6] + b"\0\1" + answer(QUESTION)[8:] + RECORD.replace(b"\0\1\0\1", b"\0\5\0\1"),
            Reply(0x1234, 0, ()),
            id="another kind of record",
        ),
        pytest.param(QUESTION, None, id="a question"),
        pytest.param(ANSWER[:-3], Reply(0x1234, 0, ()), id="cut in the address"),
        pytest.param(ANSWER[:-12], None, id="cut in the record"),
        pytest.param(ANSWER[:20], None, id="cut in the name"),
        pytest.param(b"", None, id="empty"),
        pytest.param(bytes([0xFF]) * 40, None, id="rubbish"),
    ],
)
def test_parse_reply(data: bytes, reply: Reply | None) -> None:
    assert parse_reply(data) == reply


def test_every_name_is_asked_for_until_it_is_right() -> None:
    lookups = Lookups([H2, H3], 100.0, 65535)
    first, second = lookups.questions(100.1)
    assert (first[0], second[0]) == (0, 1)
    assert (first[1][:2], second[1][:2]) == (b"\xff\xff", b"\0\0")  # identifiers wrap around
    lookups.received(answer(first[1], ["10.40.0.1"]), 100.2)
    lookups.received(answer(second[1], code=3), 100.2)
    assert lookups.wait(100.2) == pytest.approx(0.4)
    assert [index for index, dummy in lookups.questions(100.6)] == [1]
    lookups.received(answer(second[1], ["10.44.0.1"]), 100.7)
    assert lookups.wait(100.7) is None
    done = lookups.results("172.17.0.1")
    assert [(item["ok"], item["tries"], item["error"]) for item in done] == [(True, 1, None), (True, 2, None)]
    assert done[1]["ms"] == pytest.approx(700)
    assert done[0]["fqdn"] == "h2.weave.local"
    assert done[0]["server"] == "172.17.0.1"


@pytest.mark.parametrize(
    ("addresses", "code", "error"),
    [
        pytest.param(["10.99.0.1"], 0, "10.99.0.1 instead of 10.40.0.1", id="another address"),
        pytest.param(["10.40.0.1", "10.99.0.1"], 0, "10.40.0.1 and 10.99.0.1 instead of 10.40.0.1", id="one too many"),
        pytest.param([], 3, "no such name", id="no such name"),
        pytest.param([], 9, "status 9", id="unknown status"),
        pytest.param([], 0, "no address", id="no address"),
    ],
)
def test_what_is_not_right(addresses: list[str], code: int, error: str) -> None:
    lookups = Lookups([H2], 100.0, 7)
    ((dummy, question),) = lookups.questions(100.0)
    lookups.received(answer(question, addresses, code), 100.1)
    (result,) = lookups.results("s")
    assert (result["ok"], result["error"], result["addresses"], result["ms"]) == (False, error, addresses, None)


def test_answers_to_nobody_change_nothing() -> None:
    lookups = Lookups([H2, H3], 100.0, 7)
    lookups.received(answer(query(8, H3.fqdn), [H3.address]), 100.0)  # not asked yet
    lookups.questions(100.0)
    lookups.received(answer(query(99, H2.fqdn), [H2.address]), 100.1)
    assert [item["error"] for item in lookups.results("s")] == ["no answer", "no answer"]


class Server(threading.Thread):
    """A name server on loopback; answers(question number) returns what to say, None for nothing."""

    def __init__(self, answers: t.Callable[[int], bytes | None]) -> None:
        super().__init__(daemon=True)
        self._answers = answers
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]

    def run(self) -> None:
        count = 0
        while True:
            data, client = self.sock.recvfrom(512)
            if not data:
                return
            said = self._answers(count)
            count += 1
            if said is not None:
                self.sock.sendto(data[:2] + said[2:], client)


@pytest.fixture
def serve() -> t.Iterator[t.Callable[..., int]]:
    """Return a function that starts a name server and returns its port."""
    servers: list[Server] = []

    def start(answers: t.Callable[[int], bytes | None]) -> int:
        servers.append(Server(answers))
        servers[-1].start()
        return servers[-1].port

    yield start
    for server in servers:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", server.port))
        server.join(5)
        server.sock.close()


def test_a_name_that_comes_late(serve: t.Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe_names, "AGAIN", 0.01)
    said = {0: answer(QUESTION, code=3), 1: None, 2: answer(QUESTION, ["10.40.0.9"])}
    port = serve(lambda count: said.get(count, answer(QUESTION, [H2.address])))
    (result,) = look_up([H2], "127.0.0.1", 5.0, port)
    assert (result["ok"], result["addresses"], result["error"]) == (True, [H2.address], None)
    assert result["tries"] >= 4


def test_the_time_is_kept(serve: t.Callable[..., int]) -> None:
    port = serve(lambda count: None)
    (result,) = look_up([H2], "127.0.0.1", 0.1, port)
    assert (result["ok"], result["error"]) == (False, "no answer")


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert {item["error"] for item in look_up([H2, H3], "127.0.0.1", 1.5, port)} == {"Connection refused"}
