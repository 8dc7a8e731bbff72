"""What the logs of each scenario must tell."""

from chaos.log_story import Chapter, Story, chapter

SECONDS = r"after \d+\.\d s"


def down(log: str, gateway: str, *, more: str = "") -> Chapter:
    """A gateway that went down, with its name, since when, why, and what to do."""
    return chapter(log, _down(gateway) + more)


def down_and_back(log: str, gateway: str) -> Chapter:
    """The same, and then back, with how long it took."""
    return chapter(log, _down(gateway), rf"^info: gateway {gateway} \(.+\) is back {SECONDS}")


def _down(gateway: str) -> str:
    return (
        rf"^warning: gateway {gateway} \(.+\) is down since \d{{4}}-\S+Z?.*: .+ Next attempt in \d+\.\d s\."
    )


def crowd_down(log: str, prefix: str) -> Chapter:
    """Some of them by name, the others as a count."""
    return chapter(
        log, _down(rf"{prefix}\d+"), r"^warning: \d+ more such lines within 10 s: gateway … \(…\) is down"
    )


def taken_over(log: str, *, at_least: str = r"[1-9]\d*") -> Chapter:
    """Who ended, since when, how many gateways it held; and then who has them now."""
    return chapter(
        log,
        r"^warning: worker \S+ \(pid \d+\) has ended: it renewed its lease last at \S+, and the lease expired"
        rf" at \S+; the {at_least} gateways that it held",
        r"^info: claimed [1-9]\d* gateways",
        r"^info: took over gateway \S+ \(.+\) from worker \S+ \(pid \d+\), which has ended",
    )


def handed_over(log: str, why: str) -> Chapter:
    """Gateways that another worker gave away."""
    return chapter(log, rf"^info: took over gateway \S+ \(.+\) from worker \S+ \(pid \d+\), {why}")


STOPPED = chapter(
    "worker-1", r"^info: worker stopping: handing over [1-9]\d* gateways", "^info: worker stopped"
)
REGISTERED = chapter("worker-1", r"^info: worker starting", r"^info: worker \S+ \(pid \d+\) registered")
LEASE_TROUBLE = chapter(
    "worker-1",
    r"^warning: cannot renew the lease \(",
    rf"^info: the database takes the lease again, {SECONDS}",
)
API_TROUBLE = chapter("api", r"^warning: statements fail: ", rf"^info: statements succeed again, {SECONDS}")

GATEWAY_CUT: Story = tuple(down_and_back("worker-1", f"AP-000{number}") for number in (1, 2, 3))
HALF_OPEN: Story = (
    down("worker-1", "AP-0001"),
    down("half-open-short/worker-1", "AP-0001"),
)
DRIBBLE: Story = tuple(down("worker-1", f"AP-000{number}") for number in range(1, 6))
WORKER_KILL: Story = (taken_over("worker-2"),)
WORKER_FREEZE: Story = (
    taken_over("worker-2"),
    chapter("worker-1", r"^critical: killed the worker|^error: lease lost: .+, last renewed at \S+; closed"),
)
WORKER_CUT_OFF: Story = (
    # A renewal that gets no answer fails later than the lease ends.
    chapter(
        "worker-1",
        r"^error: lease lost: .+, last renewed at \S+; closed the sessions of [1-9]\d* gateways",
        r"^info: worker \S+ \(pid \d+\) registered",
    ),
    LEASE_TROUBLE,
    taken_over("worker-2"),
)
WORKER_TERM: Story = (STOPPED, handed_over("worker-2", "which is stopping"))
WORKER_TERM_5000: Story = (
    *WORKER_TERM,
    chapter("worker-2", r"^info: \d+ more such lines within 10 s: took over gateway"),
)
WORKER_KILL_5000: Story = (
    taken_over("worker-2", at_least=r"\d{3,}"),
    chapter("worker-2", r"^info: took over \d+ more gateways from worker \S+ \(pid \d+\), which has ended"),
)
WORKER_ADDED: Story = (
    chapter("worker-1", r"^info: rebalancing: releasing [1-9]\d* gateways to other workers"),
    handed_over("worker-2", "which holds more gateways"),
)
LISTENER_TROUBLE = chapter(
    "worker-1",
    r"^warning: cannot listen for notifications",
    rf"^info: notifications are received again, {SECONDS}",
)
DATABASE_OUTAGE: Story = (
    LEASE_TROUBLE,
    LISTENER_TROUBLE,
    down_and_back("worker-1", "AP-0001"),
    down("worker-1", "AP-0002"),
)
DATABASE_STOP: Story = (
    chapter(
        "worker-1",
        r"^warning: cannot renew the lease \(",
        r"^info: the database takes the lease again, after \d\d",
    ),
    *DATABASE_OUTAGE[1:],
    API_TROUBLE,
)
API_KILL: Story = (chapter("api", r"^info: Booting worker", r"was sent SIGKILL", r"^info: Booting worker"),)
SLOW_CLIENTS: Story = (chapter("api", "^info: Booting worker"),)
# A worker's rows have room to be updated on a full disk.
DISK_FULL: Story = (
    API_TROUBLE,
    down_and_back("worker-1", "AP-0001"),
    chapter("api", r"^error: request failed: .+; the client was answered 500 DATABASE_UNAVAILABLE"),
)
READ_ONLY: Story = (
    *DISK_FULL,
    LEASE_TROUBLE,
    chapter("worker-1", r"^warning: cannot write states: ", rf"^info: states are written again, {SECONDS}"),
)
CLOCK: Story = (down_and_back("worker-1", r"AP-\d+"), taken_over("worker-2"))
NO_LOG: Story = ()
FEW_FILES: Story = (
    chapter(
        "worker-1",
        r"^warning: all workers are full: [1-9]\d* gateways wait",
        rf"^info: the workers have room for all gateways again, {SECONDS}",
    ),
    chapter("worker-2", r"^info: claimed [1-9]\d* gateways"),
)
LOGIN_REJECTED: Story = (crowd_down("worker-1", "BAD-"), down_and_back("worker-1", "AP-0001"))
RETURN: Story = (
    crowd_down("worker-1", "SITE-"),
    chapter(
        "worker-1",
        rf"^info: gateway SITE-\d+ \(.+\) is back {SECONDS}",
        r"^info: \d+ more such lines within 10 s: gateway … \(…\) is back",
    ),
)
FLOOD: Story = (down_and_back("worker-1", r"LOUD-\S+"), down_and_back("worker-1", r"AP-\d+"))
HANGING: Story = (down("worker-1", r"BAD-\d+"), STOPPED, handed_over("worker-2", "which is stopping"))
SILENT_NAMES: Story = (down("worker-1", r"BAD-\d+", more=".*(name|Name)"),)
POURING: Story = (REGISTERED, chapter("worker-1", r"^info: claimed [1-9]\d* gateways"))
MEMORY: Story = (
    down_and_back("worker-1", r"DAY-\S+"),
    chapter("worker-1", r"is down since .+down \d+ more times since the last such line\)"),
)
PAGE_TRUTH: Story = (
    chapter(
        "worker-1",
        r"^warning: gateway AP-0001 \(.+\) is down since ",
        r"^info: gateway AP-0001 \(.+\) is back ",
    ),
)
