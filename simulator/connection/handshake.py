"""The opening handshake, valid or faulty. Hooks for the WebSocket library, in the site's event loop."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from simulator.connection.connection import SimulatedConnection
from simulator.faults import MIB, Fault, FaultPlan, padding_headers
from simulator.gateway_state import GatewayState


class Upgrade:
    """Routes a request to its gateway and decides on the response."""

    def __init__(self, find: Callable[[str], GatewayState | None], *, counts_attempts: bool) -> None:
        """`find` maps a path to its gateway. `counts_attempts`: the listener does not count connections."""
        self._find = find
        self._counts_attempts = counts_attempts

    async def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the response to a request that is refused; None lets the library accept it."""
        simulated = cast("SimulatedConnection", connection)
        gateway_state = self._find(request.path)
        if gateway_state is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "No such gateway\n")
        if self._counts_attempts:
            gateway_state.counters.connection_seen()
        simulated.gateway_state = gateway_state
        gateway_state.attach(simulated)
        if gateway_state.is_frozen:
            await gateway_state.until_thawed(simulated)
        plan = simulated.plan
        if plan is not None and plan.kind is Fault.SILENT_UPGRADE:
            await connection.wait_closed()
        if plan is not None and plan.kind is Fault.REJECT_UPGRADE:
            return _rejection(connection, plan)
        return None

    async def process_response(
        self, connection: ServerConnection, _request: Request, response: Response
    ) -> Response | None:
        """Corrupt the library's response, if the plan says so."""
        simulated = cast("SimulatedConnection", connection)
        plan = simulated.plan
        if plan is not None and plan.kind is Fault.HUGE_UPGRADE_HEADERS:
            for name, value in padding_headers(plan.size_bytes or MIB):
                response.headers[name] = value
        if plan is not None and plan.kind is Fault.DRIBBLE_UPGRADE:
            await _dribble(simulated, response.serialize(), plan.byte_interval_s)
        return None


def _rejection(connection: ServerConnection, plan: FaultPlan) -> Response:
    response = connection.respond(plan.status, "No.\n")
    if plan.location is not None:
        response.headers["Location"] = plan.location
    return response


async def _dribble(connection: SimulatedConnection, answer: bytes, byte_interval_s: float) -> None:
    """Send all but the last byte; the library sends the rest and then treats the connection as open."""
    for index in range(len(answer) - 1):
        if connection.has_ended:
            return
        connection.write_raw(answer[index : index + 1])
        await asyncio.sleep(byte_interval_s)
    connection.upgrade_bytes_sent = len(answer) - 1
