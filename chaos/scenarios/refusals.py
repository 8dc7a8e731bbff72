"""A database that takes no writes: read-only, or on a full disk."""

import http.client
import shutil
import subprocess
import sys
from collections.abc import Callable
from time import monotonic

import psycopg

from chaos.api_server import Reply
from chaos.findings import Findings, SkippedError
from chaos.small_disk import COMMAND
from chaos.testbed import ChaosTestBed, since
from devstack.harness.line_process import LineProcess
from devstack.harness.sandbox import Sandbox
from simulator import Site

MOST_WRITES = 2000
LONGER_THAN_A_LEASE_S = 12.0
ANSWER_LIMIT_S = 5.0
RIGHT_LIMIT_S = 2.0
GIVE_UP_S = 30.0
GATEWAYS = 6


def read_only(sandbox: Sandbox, findings: Findings) -> None:
    """As after a failover to a replica, or by an operator's hand."""
    with ChaosTestBed(sandbox, "read-only") as testbed:
        testbed.start_server()

        def switch(*, on: bool) -> None:
            url = testbed.database_url + "&options=-c%20default_transaction_read_only%3Doff"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "ALTER SYSTEM SET default_transaction_read_only = on"
                    if on
                    else "ALTER SYSTEM RESET default_transaction_read_only"
                )
                connection.execute("SELECT pg_reload_conf()")

        _judge_refusal(testbed, findings, lambda: switch(on=True), lambda: switch(on=False))


def disk_full(sandbox: Sandbox, findings: Findings) -> None:
    """A disk of 256 MB, filled to the last byte."""
    if not mounts_allowed():
        raise SkippedError("no user and mount namespaces here, so no small disk")
    with ChaosTestBed(sandbox, "disk-full") as testbed:
        disk = testbed.directory / "disk"
        disk.mkdir()
        command = (*COMMAND, sys.executable, "-m", "chaos.small_disk", str(disk))
        server = LineProcess(sandbox, "small-disk", command, testbed.directory)
        try:
            testbed.use_database(server.greeting["url"])
            _judge_refusal(testbed, findings, lambda: server.ask("fill"), lambda: server.ask("free"))
        finally:
            testbed.close()
            server.close()


def mounts_allowed() -> bool:
    """Whether we may start a program that may mount something for itself alone."""
    if shutil.which(COMMAND[0]) is None:
        return False
    trial = [*COMMAND, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, capture_output=True, timeout=10, check=False).returncode == 0


def _judge_refusal(
    testbed: ChaosTestBed, findings: Findings, begin: Callable[[], object], end: Callable[[], object]
) -> None:
    site, _ = testbed.start(GATEWAYS)
    testbed.say("from now on no write goes through")
    begin()
    began = monotonic()
    refused = _write_until_refused(testbed)
    findings.holds(
        f"a write is answered {refused.status}", refused.status == http.client.INTERNAL_SERVER_ERROR
    )
    findings.holds("with an error of ours", _is_ours(refused))
    returning = site.gateways[0]
    returning.drop("rst")
    unread = 0
    while monotonic() < began + LONGER_THAN_A_LEASE_S:
        testbed.pause(0.5)
        for path in ("/api/factories", f"/api/gateways/{testbed.ids[returning.gateway_id]}/status"):
            reply = testbed.api.call("GET", path)
            unread += reply.status != http.client.OK or reply.took_s > ANSWER_LIMIT_S
    findings.holds(f"{unread} reads refused", unread == 0)
    lost = _count_lost(site)
    findings.holds(f"{lost} of {GATEWAYS - 1} sessions lost in {LONGER_THAN_A_LEASE_S:g} s", lost == 0)
    testbed.say("writes go through again")
    end()
    ended = monotonic()
    right = testbed.wait(lambda: _is_right(testbed, site), GIVE_UP_S)
    findings.within("states right after", since(ended, right), RIGHT_LIMIT_S)
    written = testbed.api.call("POST", "/api/factories", {"name": "Afterwards"})
    findings.holds(f"then a write is answered {written.status}", written.status == http.client.CREATED)
    findings.holds(f"{len(testbed.broken_histories())} holes in the history", not testbed.broken_histories())
    most = site.summary()["max_open_sessions"]
    findings.holds(f"at most {most} session a gateway", most == 1)
    # What the database shows may have been right all the time: the worker says so when it writes again.
    testbed.pause(RIGHT_LIMIT_S)


def _write_until_refused(testbed: ChaosTestBed) -> Reply:
    """Room that is left in pages is filled first."""
    for _ in range(MOST_WRITES):
        reply = testbed.api.call("POST", "/api/factories", {"name": "x" * 200, "location": "y" * 200})
        if reply.status != http.client.CREATED:
            break
    return reply


def _is_ours(reply: Reply) -> bool:
    """Whether the body is an error with code and request id, and tells nothing of the database's words."""
    error = reply.json.get("error", {})
    text = str(error).lower()
    return {"code", "message", "request_id"} <= set(error) and "read-only" not in text and "space" not in text


def _count_lost(site: Site) -> int:
    return sum(gateway.logins != 1 or gateway.open_sessions != 1 for gateway in site.gateways[1:])


def _is_right(testbed: ChaosTestBed, site: Site) -> bool:
    return all(gateway.open_sessions == 1 for gateway in site.gateways) and all(
        testbed.status(gateway_id)["state"] == "connected" for gateway_id in testbed.ids
    )
