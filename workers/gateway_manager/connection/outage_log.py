"""What the log says of a gateway: one line when it goes down, one when it is back, and what to do."""

import logging
from time import monotonic

from service.database.observed.active_gateways import SealedLogin
from service.gateway_states import Reason, action_for
from service.logs import time_ago
from service.ongoing_failure import FailureNotice

log = logging.getLogger("millgate.connection")


class OutageLog:
    """For the gateway's own thread."""

    def __init__(self) -> None:
        self._notice = FailureNotice()

    def down(self, login: SealedLogin, reason: Reason, retry_in_s: float, session_s: float | None) -> None:
        """An attempt failed, or a session ended after `session_s`. Repeats are logged at level debug."""
        about = {**log_context(login), "reason": reason.code.value, "phase": reason.phase.value}
        begun = self._notice.failed(monotonic())
        if begun is None:
            log.debug(
                "gateway still down: %s Next attempt in %.1f s.", reason.message, retry_in_s, extra=about
            )
            return
        since = time_ago(begun.lasted_s)
        log.warning(
            "gateway %s (%s) is down since %s%s: %s Next attempt in %.1f s."
            " %s (docs/runbook.md#gateway-down)",
            login.device_id,
            login.name,
            since,
            _before(session_s, begun.unlogged),
            reason.message,
            retry_in_s,
            action_for(reason.code),
            extra={**about, "factory": str(login.factory_id), "since": since},
        )

    def back(self, login: SealedLogin) -> None:
        """It has a session."""
        lasted_s = self._notice.over(monotonic())
        about = log_context(login)
        if lasted_s is None:
            log.debug("gateway connected", extra=about)
        else:
            about["factory"] = str(login.factory_id)
            log.info(
                "gateway %s (%s) is back after %.1f s", login.device_id, login.name, lasted_s, extra=about
            )

    def released(self, login: SealedLogin, reason: Reason | None) -> None:
        """This worker no longer tries to connect it."""
        lasted_s = self._notice.over(monotonic())
        if lasted_s is not None:
            why = "" if reason is None else f": {reason.message}"
            log.info(
                "gateway %s (%s) is no longer tried here, after %.1f s down%s",
                login.device_id,
                login.name,
                lasted_s,
                why,
                extra=log_context(login),
            )


def log_context(login: SealedLogin) -> dict[str, str]:
    """The fields that say which gateway a line is about."""
    return {"gateway": str(login.id), "gateway_id": login.device_id, "gateway_name": login.name}


def _before(session_s: float | None, unlogged: int) -> str:
    parts = [] if session_s is None else [f"connected for {session_s:.0f} s before"]
    if unlogged:
        parts.append(f"down {unlogged} more times since the last such line")
    return f" ({', '.join(parts)})" if parts else ""
