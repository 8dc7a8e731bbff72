"""Many gateways at once: that reject us, and that restart together."""

from collections.abc import Callable, Mapping
from time import monotonic

from chaos.findings import Findings
from chaos.scenarios.gateways import cut_one
from chaos.table import per_second
from chaos.testbed import ChaosTestBed, since, urls_of
from devstack.harness.sandbox import Sandbox
from simulator import Fault, Site

REJECTING = 500
GOOD = 20
MOST_LOGINS = 3
FIRST_QUARANTINE_S = 60
# The default of LOGIN_QUARANTINE_S, which only later ones reach.
LONGEST_QUARANTINE_S = 900
CALM_S = 10.0
# The log counts what it left out when its window of ten seconds has ended.
COUNTED_BACK = "gateway … (…) is back"
COUNT_LIMIT_S = 15.0
GIVE_UP_S = 120.0

RESTARTING = 1000
MAX_HANDSHAKES = 50
DOWN_S = 20.0
# Longer than the first round of attempts, of which each hangs for ten seconds.
HANGS_FOR_S = 70.0
NEARLY_ALL_LIMIT_S = 10.0
BACK_LIMIT_S = 20.0
# The default of BACKOFF_MAX_S.
LONGEST_BACKOFF_S = "45"

COUNT_ATTEMPTS = """
SELECT count(*)::bigint AS attempts FROM gateway_events
WHERE to_state = 'connecting' AND at > clock_timestamp() - make_interval(secs => %s)
"""

NEXT_LOGINS = """
SELECT min(s) AS soonest_s, max(s) AS latest_s FROM (
    SELECT extract(epoch FROM next_attempt_at - reason_at)::float8 AS s
    FROM gateway_statuses WHERE state = 'auth_failed'
) AS next
"""


def login_rejected(sandbox: Sandbox, findings: Findings) -> None:
    """Wrong credentials at 500 gateways, beside some that are well."""
    with ChaosTestBed(sandbox, "login-rejected") as testbed:
        good, _ = testbed.start(GOOD)
        bad = testbed.start_site(REJECTING, "BAD-", shared_port=True, password="another one")  # noqa: S106
        testbed.say(f"registering {REJECTING} gateways that will reject the login")
        testbed.register(urls_of(bad))
        cut_one(testbed, good.gateways[0], "rst", findings)
        given_up = testbed.wait(lambda: testbed.count_in_state("auth_failed") == REJECTING, GIVE_UP_S)
        findings.holds(f"{testbed.count_in_state('auth_failed')} auth_failed", given_up is not None)
        testbed.say("all have given up; watching for more logins")
        testbed.pause(CALM_S)
        logins = [gateway.rejected_logins for gateway in bad.gateways]
        findings.holds(f"{min(logins)} to {max(logins)} logins each", max(logins) <= MOST_LOGINS)
        following = testbed.rows(NEXT_LOGINS)[0]
        soonest_s, latest_s = following.soonest_s or 0, following.latest_s or 0
        findings.holds(
            f"the next one {soonest_s:.0f} to {latest_s:.0f} s later",
            soonest_s >= FIRST_QUARANTINE_S - 1 and latest_s < LONGEST_QUARANTINE_S,
        )
        well = sum(gateway.logins == 1 and gateway.open_sessions == 1 for gateway in good.gateways[1:])
        findings.holds(f"{well} of the {GOOD - 1} others undisturbed", well == GOOD - 1)


def restart_1000(sandbox: Sandbox, findings: Findings) -> None:
    """All gateways of a plant lose power, and come back together."""
    _refuses(sandbox, findings, "restart-1000", {})


def long_away(sandbox: Sandbox, findings: Findings) -> None:
    """The same after hours: each gateway waits as long as it ever does between two attempts."""
    _refuses(sandbox, findings, "long-away", {"BACKOFF_INITIAL_S": LONGEST_BACKOFF_S})


def site_hangs(sandbox: Sandbox, findings: Findings) -> None:
    """The site takes connections, and answers nothing for a while."""

    def go_away(site: Site) -> None:
        site.fault(Fault.SILENT_UPGRADE)

    def come_back(site: Site) -> None:
        site.fault(None)

    with ChaosTestBed(sandbox, "site-hangs") as testbed:
        _return_of_a_site(testbed, findings, go_away, come_back, down_s=HANGS_FOR_S)


def _refuses(sandbox: Sandbox, findings: Findings, name: str, settings: Mapping[str, str]) -> None:
    with ChaosTestBed(sandbox, name, settings) as testbed:
        site = _return_of_a_site(testbed, findings, Site.stop_listening, Site.start_listening, down_s=DOWN_S)
        if site is not None:
            # Of those that hang all that began a second ago count no more.
            findings.holds(
                f"at most {site.most_handshakes} handshakes under way (≤ {MAX_HANDSHAKES})",
                site.most_handshakes <= MAX_HANDSHAKES,
            )


def _return_of_a_site(
    testbed: ChaosTestBed,
    findings: Findings,
    go_away: Callable[[Site], None],
    come_back: Callable[[Site], None],
    down_s: float,
) -> Site | None:
    """The site, judged; None: it was not connected at first."""
    healthy = testbed.start_site(GOOD)
    site = testbed.start_site(RESTARTING, "SITE-", shared_port=True)
    testbed.say(f"registering {RESTARTING + GOOD} gateways")
    testbed.register(urls_of(healthy))
    testbed.register(urls_of(site))
    worker = testbed.start_worker()
    if testbed.wait(lambda: all_shown(testbed, site, healthy), GIVE_UP_S) is None:
        findings.holds("all connected at first", False)
        return None
    testbed.say("all connected; now the site goes away")
    go_away(site)
    for gateway in site.gateways:
        gateway.drop("rst")
    testbed.pause(down_s)
    attempts = int(testbed.rows(COUNT_ATTEMPTS, down_s / 2)[0].attempts)
    findings.note(f"{attempts * 120 / down_s:.0f} attempts a minute while it is away")
    back_at = monotonic()
    come_back(site)
    connected = testbed.wait(lambda: all_shown(testbed, site, healthy), GIVE_UP_S)
    _judge_return(site, findings, back_at)
    findings.within("all back and shown after", since(back_at, connected), BACK_LIMIT_S)
    well = sum((one.logins, one.open_sessions) == (1, 1) for one in healthy.gateways)
    findings.holds(f"{well} of {GOOD} others undisturbed", well == GOOD)
    testbed.wait(lambda: COUNTED_BACK in worker.log, COUNT_LIMIT_S)
    return site


def _judge_return(site: Site, findings: Findings, back_at: float) -> None:
    moments = [time - back_at for gateway in site.gateways for time in gateway.login_times]
    findings.histogram = sorted(moment for moment in moments if moment > 0)
    nearly_all = findings.histogram[: round(RESTARTING * 0.99)]
    findings.within("99 % back after", nearly_all[-1] if nearly_all else None, NEARLY_ALL_LIMIT_S)
    counts = per_second(findings.histogram)
    mean = len(findings.histogram) / max(1, len(counts))
    findings.holds(
        f"{max(counts)} logins in the busiest of {len(counts)} seconds (≤ twice the mean of {mean:.0f})",
        max(counts) <= 2 * mean,
    )
    seen = site.summary()
    findings.holds(f"{seen['logins'] - 2 * RESTARTING} logins too many", seen["logins"] == 2 * RESTARTING)
    findings.holds(f"at most {seen['max_open_sessions']} session a gateway", seen["max_open_sessions"] == 1)


def all_shown(testbed: ChaosTestBed, *sites: Site) -> bool:
    """Whether all have a session, and the status says so."""
    count = sum(len(site.gateways) for site in sites)
    opened = sum(site.summary()["open_sessions"] for site in sites)
    return opened == count == testbed.count_in_state("connected")
