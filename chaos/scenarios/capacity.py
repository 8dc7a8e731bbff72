"""Workers whose system sets them narrow limits."""

from time import monotonic

from chaos.findings import Findings
from chaos.testbed import ChaosTestBed, since, urls_of
from devstack.harness.sandbox import Sandbox

FILE_LIMIT = 200
GATEWAYS = 400
GIVE_UP_S = 60.0
SECOND_LIMIT_S = 30.0
CALM_S = 10.0

COUNT_NO_CAPACITY = "SELECT count(*) FROM gateway_statuses WHERE reason_code = 'no_capacity'"


def few_files(sandbox: Sandbox, findings: Findings) -> None:
    """A worker with few files and many gateways, alone; then a second one with room."""
    with ChaosTestBed(sandbox, "few-files") as testbed:
        site = testbed.start_site(GATEWAYS, shared_port=True)
        testbed.register(urls_of(site))
        first = testbed.start_worker(file_limit=FILE_LIMIT)

        def is_full() -> bool:
            waiting = int(testbed.rows(COUNT_NO_CAPACITY)[0][0])
            return waiting > 0 and waiting + testbed.count_in_state("connected") == GATEWAYS

        findings.holds(
            "alone, each is connected or says that no worker has room",
            testbed.wait(is_full, GIVE_UP_S) is not None,
        )
        carried = len(testbed.held_by(first))
        findings.note(f"{carried} of {GATEWAYS} carried with {FILE_LIMIT} files")
        logins = site.summary()["logins"]
        testbed.pause(CALM_S)
        findings.holds("nothing moves", site.summary()["logins"] == logins)
        testbed.say("a second worker")
        began = monotonic()
        testbed.start_worker()
        all_connected = testbed.wait(lambda: testbed.count_in_state("connected") == GATEWAYS, GIVE_UP_S)
        findings.within(
            "with a second worker all are connected after", since(began, all_connected), SECOND_LIMIT_S
        )
        most = site.summary()["max_open_sessions"]
        findings.holds(f"at most {most} session a gateway", most == 1)
        # It looks for room every two seconds.
        testbed.wait(lambda: "workers have room" in first.log, CALM_S)
        errors = sum('"level": "error"' in line for line in first.log.splitlines())
        findings.holds(f"{errors} errors in its log", errors <= 1)
