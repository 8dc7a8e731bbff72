"""The scenarios, in the order of the table of promises."""

from collections.abc import Callable
from dataclasses import dataclass

from chaos import stories
from chaos.findings import Findings
from chaos.log_story import Story
from chaos.scenarios.api import api_kill
from chaos.scenarios.capacity import few_files
from chaos.scenarios.clients import slow_clients
from chaos.scenarios.clock import clock
from chaos.scenarios.crowds import login_rejected, long_away, restart_1000, site_hangs
from chaos.scenarios.database import database_failover, database_kill, database_restart, database_stop
from chaos.scenarios.fleets import worker_kill_5000, worker_term_5000
from chaos.scenarios.gateways import dribble, gateway_cut, half_open
from chaos.scenarios.lease_model import lease_model
from chaos.scenarios.messages import flood, memory
from chaos.scenarios.neighbours import (
    empty_pieces,
    hanging_logins,
    hanging_upgrades,
    huge_messages,
    silent_names,
)
from chaos.scenarios.page import page_truth
from chaos.scenarios.refusals import disk_full, read_only
from chaos.scenarios.workers import worker_added, worker_cut_off, worker_freeze, worker_kill, worker_term
from devstack.harness.sandbox import Sandbox


@dataclass(frozen=True)
class Scenario:
    """A fault, what is promised, and the function that measures it."""

    name: str
    about: str
    """The fault."""
    promise: str
    measure: Callable[[Sandbox, Findings], None]
    expected_s: float
    """How long it takes about: the longest begin first."""
    story: Story = ()
    """What its logs must tell."""
    alone: bool = False
    """Whether it needs the machine for itself."""


OUTAGE = (
    "sessions stay up; no transition is lost; states right within 2 s of its return; "
    "every request answered within 5 s"
)

REFUSAL = "writes answer 500 safely; reads go on; the worker keeps its sessions"

RETURN = (
    "99 % back within 10 s of its return, all within 20 s; handshakes under way never above the bound; "
    "no second with more than twice the mean; others undisturbed"
)

BESIDE = "a healthy gateway that is added beside them connects within 2 s"

SCENARIOS = (
    Scenario(
        "gateway-cut",
        "gateway cut (RST, FIN, close frame)",
        "status says so within 1 s; reconnected within 1 s + back-off after it is back",
        gateway_cut,
        20,
        story=stories.GATEWAY_CUT,
    ),
    Scenario(
        "half-open",
        "half-open: no FIN, pongs stop",
        "noticed within 25 s, and within the configured limit when that is shorter",
        half_open,
        40,
        story=stories.HALF_OPEN,
    ),
    Scenario(
        "dribble",
        "stall in mid-frame; handshake or login a byte at a time",
        "attempt ended by its deadline (30 s in all)",
        dribble,
        45,
        story=stories.DRIBBLE,
    ),
    Scenario(
        "page-truth",
        "a random walk of transitions; the API frozen, then killed; the worker killed",
        "the page never shows a state that was not true within 2 s of the time it names, takes back what "
        "nobody vouches for within 10 s, and recovers by itself",
        page_truth,
        90,
        story=stories.PAGE_TRUTH,
    ),
    Scenario(
        "worker-kill",
        "worker kill -9",
        "unknown within 2 s, taken over within 12 s, never two sessions at once",
        worker_kill,
        30,
        story=stories.WORKER_KILL,
    ),
    Scenario(
        "worker-freeze",
        "worker frozen (SIGSTOP), later continued",
        "unknown within 10 s, taken over within 12 s, never two sessions; on waking it writes nothing and "
        "closes its old sockets",
        worker_freeze,
        35,
        story=stories.WORKER_FREEZE,
    ),
    Scenario(
        "worker-cut-off",
        "worker cut off from PostgreSQL only",
        "it lets its sessions go before its lease ends in the database's eyes; taken over within 12 s",
        worker_cut_off,
        40,
        story=stories.WORKER_CUT_OFF,
    ),
    Scenario(
        "worker-term",
        "worker SIGTERM",
        "unsubscribed, closed with 1000, with another worker within 2 s; exit within 10 s even if gateways "
        "are dead",
        worker_term,
        35,
        story=stories.WORKER_TERM,
    ),
    Scenario(
        "worker-term-5000",
        "worker SIGTERM with 5,000 gateways",
        "handed over as another takes them up: each without a session for 3 s in the median, "
        "8 s in 99 of 100",
        worker_term_5000,
        75,
        story=stories.WORKER_TERM_5000,
        alone=True,
    ),
    Scenario(
        "worker-kill-5000",
        "worker kill -9 with 5,000 gateways",
        "all connected with another worker within the lease + 10 s, unknown until then, never two sessions",
        worker_kill_5000,
        75,
        story=stories.WORKER_KILL_5000,
        alone=True,
    ),
    Scenario(
        "worker-added",
        "worker added",
        "spread evenly (±1 or 5 %) within 30 s, each by close, then connect; no churn afterwards",
        worker_added,
        65,
        story=stories.WORKER_ADDED,
    ),
    Scenario(
        "database-stop",
        "PostgreSQL stopped 60 s",
        OUTAGE,
        database_stop,
        85,
        story=stories.DATABASE_STOP,
    ),
    Scenario(
        "database-kill",
        "PostgreSQL killed (kill -9)",
        OUTAGE,
        database_kill,
        25,
        story=stories.DATABASE_OUTAGE,
    ),
    Scenario(
        "database-restart",
        "PostgreSQL restarted",
        OUTAGE,
        database_restart,
        25,
        story=stories.DATABASE_OUTAGE,
    ),
    Scenario(
        "database-failover",
        "PostgreSQL failed over (all sessions ended)",
        OUTAGE,
        database_failover,
        20,
        story=stories.DATABASE_OUTAGE,
    ),
    Scenario(
        "api-kill",
        "API process killed",
        "only its requests in flight are lost; a 2xx write is there",
        api_kill,
        20,
        story=stories.API_KILL,
    ),
    Scenario(
        "slow-clients",
        "clients that are idle, silent, stall in mid-request, take no answer, or send without a pause",
        "health is answered within 100 ms beside them",
        slow_clients,
        30,
        story=stories.SLOW_CLIENTS,
        alone=True,
    ),
    Scenario(
        "disk-full",
        "disk full",
        REFUSAL,
        disk_full,
        35,
        story=stories.DISK_FULL,
    ),
    Scenario(
        "read-only",
        "read-only database",
        REFUSAL,
        read_only,
        30,
        story=stories.READ_ONLY,
    ),
    Scenario(
        "clock",
        "clock of a worker machine wrong by an hour",
        "no effect on any time that we show, nor on leases",
        clock,
        40,
        story=stories.CLOCK,
    ),
    Scenario(
        "lease-model",
        "any of these, in any order, on a clock that is a number",
        "never two workers that both believe they hold a gateway",
        lease_model,
        100,
        story=stories.NO_LOG,
    ),
    Scenario(
        "few-files",
        "a worker with ulimit -n 200 and 400 gateways, then a second one with room",
        "each takes what it can carry, in quiet; the rest says no_capacity until the other has it",
        few_files,
        45,
        story=stories.FEW_FILES,
    ),
    Scenario(
        "login-rejected",
        "500 gateways rejecting the login",
        "at most 3 logins each, the next one minute later; the others unaffected",
        login_rejected,
        60,
        story=stories.LOGIN_REJECTED,
        alone=True,
    ),
    Scenario(
        "restart-1000",
        "a site of 1,000 gateways away for 20 s",
        RETURN,
        restart_1000,
        60,
        story=stories.RETURN,
        alone=True,
    ),
    Scenario(
        "long-away",
        "a site of 1,000 gateways away for hours",
        RETURN,
        long_away,
        60,
        story=stories.RETURN,
        alone=True,
    ),
    Scenario(
        "site-hangs",
        "a site of 1,000 gateways that takes connections and answers nothing",
        RETURN,
        site_hangs,
        110,
        story=stories.RETURN,
        alone=True,
    ),
    Scenario(
        "flood",
        "a flood: 5,000 messages/s from one gateway",
        "slowed by back-pressure or dropped with a reason; the others' status delay does not double",
        flood,
        40,
        story=stories.FLOOD,
        alone=True,
    ),
    Scenario(
        "hanging-upgrades",
        "1,000 gateways that accept TCP and never answer the upgrade",
        BESIDE,
        hanging_upgrades,
        100,
        story=stories.HANGING,
        alone=True,
    ),
    Scenario(
        "hanging-logins",
        "500 gateways that upgrade and never answer the login",
        BESIDE,
        hanging_logins,
        75,
        story=stories.HANGING,
        alone=True,
    ),
    Scenario(
        "silent-names",
        "300 names whose name server never answers",
        BESIDE + ", by address, as localhost and by name; the reasons are true",
        silent_names,
        60,
        story=stories.SILENT_NAMES,
        alone=True,
    ),
    Scenario(
        "huge-messages",
        "60 gateways that pour messages of 4 MiB",
        BESIDE + "; the worker takes 300 MiB and half a core at most",
        huge_messages,
        60,
        story=stories.POURING,
        alone=True,
    ),
    Scenario(
        "empty-pieces",
        "2 gateways whose messages have 1,000 empty pieces",
        "slowed like any flood: a tenth of a core at most",
        empty_pieces,
        45,
        story=stories.POURING,
        alone=True,
    ),
    Scenario(
        "memory",
        "a day of transitions and messages, accelerated",
        "RSS flat (±5 %)",
        memory,
        95,
        story=stories.MEMORY,
        alone=True,
    ),
)
