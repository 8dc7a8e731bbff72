"""One session of a client: answers its commands in order. Used in the event loop of the site only."""

from datetime import date

from simulator.connection.connection import SimulatedConnection
from simulator.connection.fault_injection import FaultInjection
from simulator.counters import SessionEnd, Side
from simulator.faults import Fault
from simulator.gateway_state import GatewayState
from simulator.messages import (
    Command,
    Json,
    Violation,
    encode,
    failure,
    login_answer,
    outgoing,
    parse_command,
)
from simulator.sensors import Measurement, Quantity, Sensor, history
from simulator.settings import Rejection

CLOSE_OF_A_FAILED_HANDLER = 1011
DEFAULT_HISTORY_LIMIT = 25


class Session:
    """The session on one open WebSocket, from `start` until the connection ends."""

    def __init__(self, gateway_state: GatewayState, connection: SimulatedConnection) -> None:
        self.connection = connection
        self.logged_in = False
        self.subscribed = False
        self._state = gateway_state
        self._unsubscribed = False
        self._faults = FaultInjection(connection, connection.plan)

    def start(self) -> None:
        """Start answering, or injecting the fault."""
        if self.connection.has_ended:
            return
        self.connection.on_end = self._ended
        self._state.sessions.add(self)
        if self._faults.kind is Fault.CLOSE_BEFORE_LOGIN:
            self._faults.close()
        self.connection.deliver_to(self._receive)

    def _ended(self, by: Side, code: int, reason: str) -> None:
        self._state.sessions.discard(self)
        self._faults.stop()
        if self.logged_in:
            self._state.counters.session_ended(SessionEnd(code, reason, self._unsubscribed, by))

    def _receive(self, message: str | bytes) -> None:
        try:
            command = parse_command(message)
            self._check_order(command)
            self._handle(command)
        except Violation as violation:
            self._state.counters.violated(str(violation))
            self.connection.begin_close(CLOSE_OF_A_FAILED_HANDLER)

    def _check_order(self, command: Command) -> None:
        if self.logged_in == (command.type == "POST_LOGIN"):
            raise Violation(f"{command.type} {'after' if self.logged_in else 'before'} the login")

    def _answer(self, message: dict[str, Json]) -> None:
        self.connection.push(encode(message))

    def _handle(self, command: Command) -> None:
        match command.type.split("_"):
            case ["POST", "LOGIN"]:
                self._log_in(command)
            case ["POST", "SUB", _]:
                self._subscribe(command)
            case ["POST", "UNSUB", _]:
                self.subscribed, self._unsubscribed = False, True
                self._answer_subscription("RTN_UNSUB_CHANGES")
            case ["TAKE", _, quantity]:
                self._take(command, Quantity(quantity))
            case ["GET", "DYN"]:
                self._describe(command)
            case ["GET", "DYN", "CONNECTED"]:
                self._answer_sensors(self._state.fleet.connected_to(self._state.gateway_id))
            case ["GET", _, plural]:
                self._look_back(command, Quantity(plural.removesuffix("S")))

    # Login and subscription.

    def _log_in(self, command: Command) -> None:
        email, kind = command.text("Email"), self._faults.kind
        if kind is Fault.SILENT_LOGIN:
            return
        if kind in {Fault.REJECT_LOGIN, Fault.ERROR_LOGIN} or not self._state.credentials.accept(
            email, command.text("Password")
        ):
            self._state.counters.login_rejected()
            self._answer(self._rejection(email))
            return
        if self._faults.replaces_login_answer():
            return
        self.logged_in = True
        self._state.handshakes.ended(self.connection)
        self._state.counters.login_accepted()
        answer = encode(login_answer(email, success=True))
        if kind is Fault.DRIBBLE_LOGIN:
            self._faults.dribble(answer)
        else:
            self.connection.push(answer)
            self._faults.after_login()

    def _rejection(self, email: str) -> dict[str, Json]:
        plan, rejection = self.connection.plan, self._state.settings.rejection
        if plan is not None and plan.kind is Fault.ERROR_LOGIN:
            return failure(plan.attempt_of("POST_LOGIN"), "Login failed")
        if rejection is Rejection.SUCCESS_FALSE or self._faults.kind is Fault.REJECT_LOGIN:
            return login_answer(email, success=False)
        return failure("POST_LOGIN" if rejection is Rejection.ERROR else None, "Invalid email or password")

    def _subscribe(self, command: Command) -> None:
        plan = self.connection.plan
        if plan is not None and plan.kind is Fault.ERROR_SUBSCRIBE:
            self._answer(failure(plan.attempt_of(command.type), "Cannot subscribe"))
            return
        self.subscribed, self._unsubscribed = True, False
        self._answer_subscription("RTN_SUB_CHANGES")
        self._state.counters.subscribed()
        self._faults.after_subscription()

    def _answer_subscription(self, message_type: str) -> None:
        if self._state.settings.answers_subscription:
            self._answer(outgoing(message_type, {"Success": True}))

    # Sensors.

    def _take(self, command: Command, quantity: Quantity) -> None:
        sensor = self._state.fleet.seen_by(self._state.gateway_id).get(command.number("Serial"))
        if sensor is None:
            self._answer(failure(command.type, "Unknown serial"))
        elif sensor.at_gateway != self._state.gateway_id:
            self._answer(failure(command.type, "Sensor is not connected"))
        else:
            self._state.take(sensor, quantity)

    def _describe(self, command: Command) -> None:
        sensors = self._chosen(command)
        if sensors is not None:
            self._answer_sensors(sensors)

    def _answer_sensors(self, sensors: list[Sensor]) -> None:
        rows = {str(sensor.serial): sensor.describe(self._state.gateway_id) for sensor in sensors}
        self._answer(outgoing("RTN_DYN", rows or []))

    def _look_back(self, command: Command, quantity: Quantity) -> None:
        sensors, today = self._chosen(command), self._state.now().date()
        if sensors is None:
            return
        try:
            start = date.fromisoformat(str(command.data.get("Start", date.min.isoformat())))
            end = date.fromisoformat(str(command.data.get("End", date.max.isoformat())))
        except ValueError:
            self._answer(failure(command.type, "Start and End must be yyyy-mm-dd"))
            return
        limit = command.number("Max", DEFAULT_HISTORY_LIMIT)
        if limit < 1:
            self._answer(failure(command.type, "Max must be at least 1"))
            return
        rows = _history_rows(history(sensors, quantity, (start, end), today)[:limit])
        keyed = {str(index): row for index, row in enumerate(rows)}
        data: Json = keyed if self._state.settings.history_keyed else rows
        self._answer(outgoing(f"RTN_DYN_{quantity.value}S", data))

    def _chosen(self, command: Command) -> list[Sensor] | None:
        """Return the sensors that the command names, by default all; None after answering with an error."""
        seen = self._state.fleet.seen_by(self._state.gateway_id)
        serials = command.serials() or list(seen)
        if not set(serials) <= seen.keys():
            self._answer(failure(command.type, "Unknown serial"))
            return None
        return [seen[serial] for serial in dict.fromkeys(serials)]


def _history_rows(measurements: list[Measurement]) -> list[dict[str, Json]]:
    """Return rows in all allowed forms: serial as string or integer, with time of day or without."""
    return [
        measurement.as_data(
            measurement.serial if measurement.id % 2 else str(measurement.serial),
            date_only=measurement.id % 3 == 0,
        )
        for measurement in measurements
    ]
