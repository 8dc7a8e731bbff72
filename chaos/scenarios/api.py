"""Processes of the API that are killed while they write."""

import http.client
import threading
from dataclasses import dataclass, field

from chaos.findings import Findings
from chaos.testbed import ChaosTestBed
from devstack.harness.sandbox import Sandbox

WRITERS = 4
KILLS = 3
BETWEEN_KILLS_S = 1.5


@dataclass
class Writers:
    """Threads that create factories as fast as they can; each has one request in flight at most."""

    testbed: ChaosTestBed
    created: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends them."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)

    def _write(self) -> None:
        while not self._stopping.is_set():
            try:
                reply = self.testbed.api.call("POST", "/api/factories", {"name": "Written under fire"})
            except ConnectionRefusedError:
                self.refused += 1
                self._stopping.wait(0.02)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(type(error).__name__)
            else:
                if reply.status == http.client.CREATED:
                    self.created.append(reply.json["id"])
                else:
                    self.failures.append(str(reply.status))


def api_kill(sandbox: Sandbox, findings: Findings) -> None:
    """kill -9 of single processes, then of all of them."""
    with ChaosTestBed(sandbox, "api-kill") as testbed:
        assert_answers(testbed)
        writers = Writers(testbed)
        try:
            for number in range(KILLS):
                testbed.pause(BETWEEN_KILLS_S)
                testbed.say(f"kill -9 of a process, {number + 1} of {KILLS}")
                testbed.api.kill_a_process()
            testbed.pause(BETWEEN_KILLS_S)
            single = len(writers.failures)
            refused = writers.refused
            testbed.say("kill -9 of all")
            testbed.api.kill()
            testbed.api.start()
            testbed.pause(BETWEEN_KILLS_S)
        finally:
            writers.stop()
        findings.holds(
            f"{KILLS} processes killed: {single} requests lost of at most {WRITERS} in flight each, "
            f"{refused} refused",
            single <= KILLS * WRITERS and refused == 0,
        )
        stored = {str(row.id) for row in testbed.rows("SELECT id FROM factories WHERE deleted_at IS NULL")}
        missing = set(writers.created) - stored
        findings.holds(f"{len(missing)} of {len(writers.created)} writes answered 201 missing", not missing)
        unreadable = sum(
            testbed.api.call("GET", f"/api/factories/{each}").status != http.client.OK
            for each in writers.created[-20:]
        )
        findings.holds("those asked for are readable", unreadable == 0)


def assert_answers(testbed: ChaosTestBed) -> None:
    """Starts the API."""
    testbed.api.call("GET", "/api/health")
