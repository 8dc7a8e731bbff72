"""A whole worker with gateways that break every rule: each shows its reason and disturbs no other."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from service.gateway_states import State
from tests.support.raw_server import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Peer,
    RawServer,
    close_frame,
    frame,
    proper_answer,
)
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.workers.hostile_gateways import UNHURRIED, Gateway
from tests.workers.conftest import StartSite, StartWorker

pytestmark = pytest.mark.req("ORCH-06")


@dataclass(frozen=True)
class Case:
    """A gateway's behaviour, and its resulting status."""

    name: str
    serve: Callable[[Peer], None]
    code: str
    words: str
    answer: Callable[[bytes], bytes] = proper_answer
    phase: str = "session"


def with_extension(key: bytes) -> bytes:
    return proper_answer(key).replace(
        b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )


BROKEN = "protocol_error"
CASES = [
    Case("bad-utf8", Gateway(frame(TEXT, b'{"Type": "\xed\xa0\x80"}')), BROKEN, "not UTF-8"),
    Case("bad-utf8-in-pieces", Gateway(frame(TEXT, b"\xc3", fin=0) + frame(CONT, b"(")), BROKEN, "not UTF-8"),
    Case("reserved-bit", Gateway(frame(TEXT, b"{}", reserved=4)), BROKEN, "reserved bit"),
    Case("unknown-opcode", Gateway(frame(7)), BROKEN, "unknown kind 7"),
    Case("ping-in-pieces", Gateway(frame(PING, fin=0)), BROKEN, "in pieces"),
    Case("oversized-ping", Gateway(frame(PING, b"x" * 126)), BROKEN, "too long"),
    Case("interleaved", Gateway(frame(TEXT, b"{", fin=0) + frame(TEXT, b"{}")), BROKEN, "within another"),
    Case("continuation", Gateway(frame(CONT, b"{}")), BROKEN, "continuation of nothing"),
    Case("masked", Gateway(b"\x81\x82\x00\x00\x00\x00{}"), BROKEN, "masked"),
    Case("binary", Gateway(frame(BINARY, b"{}")), BROKEN, "binary"),
    Case("bad-close-code", Gateway(close_frame(1005)), BROKEN, "1005"),
    Case("close-of-one-byte", Gateway(frame(CLOSE, b"\x03")), BROKEN, "close frame"),
    Case("close", Gateway(close_frame(4242)), "closed_by_gateway", "code 4242"),
    Case(
        "endless-pieces", Gateway(frame(TEXT, fin=0) + frame(CONT, fin=0) * 6000), "message_too_big", "frames"
    ),
    Case("huge", Gateway(b"\x81\x7f\x7f" + b"\xff" * 7), "message_too_big", "bytes"),
    Case("half-a-frame", Gateway(b"\x81\x10half"), "ping_timeout", "stalled"),
    Case("extension", Gateway(b""), "upgrade_rejected", "extensions", with_extension, "upgrade"),
    Case("rubbish", Gateway(b""), "upgrade_rejected", "no HTTP status", lambda _: b"\xff\xfe\n", "upgrade"),
]


def test_every_case_is_reported_retried_and_disturbs_no_other(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    well = start_site().gateways[0]
    worker = start_worker(**UNHURRIED, MAX_MESSAGES_PER_S="100000")
    well_id = testbed.add(well.gateway_id, well.url)
    testbed.wait_for_state(well_id, "connected")
    with ExitStack() as stack:
        servers = {case.name: stack.enter_context(RawServer(case.serve, case.answer)) for case in CASES}
        row_ids = dict(zip(servers, testbed.add_all((n, s.url) for n, s in servers.items()), strict=True))
        for case in CASES:
            first, second = wait_for_failures(testbed, row_ids[case.name])
            assert (first.reason_code, first.reason_phase) == (case.code, case.phase), first.reason_message
            assert case.words in first.reason_message
            assert first.from_state == ("connected" if case.phase == "session" else "connecting")
            assert (first.attempt, second.attempt) == (1, 2)  # the backoff keeps counting
            assert (second.reason_code, second.reason_phase) == (case.code, case.phase)
        assert (well.logins, well.open_sessions) == (1, 1)
        assert worker.state(well_id) is State.CONNECTED
        assert not worker.worker.has_crashed
        for row_id in row_ids.values():
            testbed.delete(row_id)


def wait_for_failures(testbed: WorkerTestBed, row_id: UUID) -> tuple[Any, Any]:
    """Return a gateway's first two failures."""

    def failures() -> list[Any]:
        failed = [event for event in testbed.events(row_id) if event.to_state == "retrying"]
        return failed if len(failed) >= 2 else []

    first, second, *_ = wait_until(failures, 20, "two failures")
    return first, second


def test_flood_of_pongs_is_read_at_a_limited_rate(testbed: WorkerTestBed, start_worker: StartWorker) -> None:
    worker = start_worker(**{**UNHURRIED, "LIVENESS_TIMEOUT_S": "10"}, MAX_MESSAGES_PER_S="100")
    seen: list[bool] = []
    record_activity = worker.registry.record_activity

    def count(gateway_id: UUID, *, message: bool, at: float) -> None:
        seen.append(message)
        record_activity(gateway_id, message=message, at=at)

    worker.registry.record_activity = count  # type: ignore[method-assign]
    with RawServer(Gateway(frame(PONG) * 1000, for_ever=True)) as server:
        began = monotonic()
        row_id = testbed.add("flood", server.url)
        wait_until(lambda: len(seen) >= 200, 8)
        # A burst of one second at the start.
        assert len(seen) <= 100 * (monotonic() - began + 1) + 20
        assert testbed.status(row_id).state == "connected"
        testbed.delete(row_id)
        wait_until(lambda: worker.state(row_id) is None)
        assert server.accepted == 1
    worker.stop()
