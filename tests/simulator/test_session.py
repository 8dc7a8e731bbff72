"""A session with a gateway without faults."""

from time import monotonic

import pytest

from simulator import Credentials, Gateway, SessionEnd, Site, SiteSettings
from simulator.settings import Rejection
from tests.simulator.client import Client
from tests.simulator.conftest import Connect

FIRST_SENSOR, OTHER_GATEWAYS_SENSOR = 1_000_001, 1_000_004


def test_from_login_to_leaving(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    answer = client.log_in()
    assert (answer["Type"], answer["From"], answer["Target"]) == ("RTN_LOGIN", "SERV", "UI")
    assert set(answer["Data"]) == {"Email", "First", "Last", "Success", "AccessLevel", "Verified"}
    client.command("POST_SUB_CHANGES")
    assert client.ping() == b"are you there"
    gateway.wait(lambda g: g.open_sessions == 1 and g.subscriptions == 1)

    client.command("POST_UNSUB_CHANGES")
    client.socket.close()

    gateway.wait(lambda g: len(g.sessions_closed) == 1)
    assert gateway.sessions_closed == [SessionEnd(1000, "", unsubscribed=True, by="client")]
    assert (gateway.attempts, gateway.logins, gateway.open_sessions) == (1, 1, 0)
    assert gateway.violations == []


def test_handshakes_are_counted_until_the_login(connect: Connect, site: Site, gateway: Gateway) -> None:
    before = monotonic()
    first, second = connect(), connect()
    assert site.most_handshakes == 2
    for client in (first, second):
        client.log_in()
    connect()
    assert site.most_handshakes == 2
    assert len(gateway.login_times) == 2
    assert before <= gateway.login_times[0] <= gateway.login_times[1] <= monotonic()


def test_a_client_that_vanishes(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    client.subscribe()
    client.socket.shutdown()
    gateway.wait(lambda g: g.open_sessions == 0)
    assert gateway.sessions_closed == [SessionEnd(1006, "", unsubscribed=False, by="client")]


@pytest.mark.parametrize(
    ("rejection", "answer_type", "attempt"),
    [
        (Rejection.SUCCESS_FALSE, "RTN_LOGIN", None),
        (Rejection.ERROR, "RTN_ERR", "POST_LOGIN"),
        (Rejection.ERROR_WITHOUT_ATTEMPT, "RTN_ERR", None),
    ],
)
def test_wrong_credentials(
    credentials: Credentials, connect: Connect, rejection: Rejection, answer_type: str, attempt: str | None
) -> None:
    settings = SiteSettings(rejection=rejection)
    with Site.start(["gw"], credentials=credentials, settings=settings) as site:
        client = connect(url=site.url("gw"))
        answer = client.log_in(password="Secret")
        assert answer["Type"] == answer_type
        assert answer["Data"].get("Attempt") == attempt
        assert answer["Data"].get("Success") in {None, False}
        # The same connection may log in again, and the gateway's credentials may change meanwhile.
        site.gateway("gw").credentials = Credentials("plant@example.com", "Secret")
        assert client.log_in(password="Secret")["Data"]["Success"] is True
        assert (site.gateway("gw").rejected_logins, site.gateway("gw").logins) == (1, 1)


@pytest.mark.parametrize("message", ["{", '{"Type": "PING", "From": "UI", "To": "SERV", "Data": {}}', "[]"])
def test_a_violation_ends_the_session(connect: Connect, gateway: Gateway, message: str) -> None:
    client = connect()
    client.log_in()
    client.say(message)
    assert client.close_code() == 1011
    assert len(gateway.violations) == 1
    assert [end.by for end in gateway.sessions_closed] == ["gateway"]


def test_no_command_is_allowed_before_the_login(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    client.command("POST_SUB_CHANGES")
    assert client.close_code() == 1011
    assert gateway.violations == ["POST_SUB_CHANGES before the login"]
    assert (gateway.logins, gateway.sessions_closed) == (0, [])


def test_sensors(connect: Connect) -> None:
    client = connect()
    client.subscribe()
    client.command("GET_DYN", Serials=[FIRST_SENSOR])
    rows = client.hear()["Data"]
    assert list(rows) == [str(FIRST_SENSOR)]
    assert (rows[str(FIRST_SENSOR)]["Serial"], rows[str(FIRST_SENSOR)]["Connected"]) == (FIRST_SENSOR, 1)

    client.command("TAKE_DYN_READING", Serial=FIRST_SENSOR)
    assert client.hear()["Type"] == "NOT_DYN_READING_STARTED"
    reading = client.hear_type("NOT_DYN_READING")["Data"]
    assert reading["Serial"] == str(FIRST_SENSOR)
    axes = [[float(sample) for sample in reading[axis].split(",")] for axis in "XYZ"]
    assert {len(axis) for axis in axes} <= {2048, 3200, 4096}
    assert all(0.05 < max(axis) < 16 for axis in axes)
    assert client.hear()["Type"] == "NOT_DYN_TEMP"

    client.command("TAKE_DYN_BATT", Serial=OTHER_GATEWAYS_SENSOR)
    assert client.hear()["Data"] == {"Attempt": "TAKE_DYN_BATT", "Error": "Unknown serial"}


def test_no_sensors_is_an_empty_array(credentials: Credentials, connect: Connect) -> None:
    settings = SiteSettings(sensors_per_gateway=0, answers_subscription=True)
    with Site.start(["gw"], credentials=credentials, settings=settings) as site:
        client = connect(url=site.url("gw"))
        client.log_in()
        client.command("GET_DYN_CONNECTED")
        assert client.hear()["Data"] == []
        client.command("POST_SUB_CHANGES")
        assert client.hear()["Type"] == "RTN_SUB_CHANGES"


def test_history(connect: Connect) -> None:
    client = connect()
    client.log_in()
    client.command("GET_DYN_TEMPS")
    rows = client.hear()["Data"]
    days = [row["Time"][:10] for row in rows]
    assert len(rows) == 25
    assert days == sorted(days, reverse=True)
    client.command("GET_DYN_TEMPS", Serials=[FIRST_SENSOR], Start=days[10], End=days[5], Max=100)
    inside = [row["Time"][:10] for row in client.hear()["Data"]]
    assert inside == sorted({day for day in days if days[10] <= day <= days[5]}, reverse=True)
    client.command("GET_DYN_READINGS", Start="soon")
    assert client.hear()["Data"]["Attempt"] == "GET_DYN_READINGS"


def _connection(sensor_message: dict[str, object]) -> tuple[object, object]:
    data = sensor_message["Data"]
    assert isinstance(data, dict)
    return data["Serial"], data["Connected"]


def test_a_sensor_roams(site: Site, connect: Connect) -> None:
    first, second = connect("gw-1"), connect("gw-2")
    first.subscribe()
    second.subscribe()
    site.move_sensor(FIRST_SENSOR, "gw-2")
    assert _connection(first.hear_type("NOT_DYN_CONN")) == (FIRST_SENSOR, 0)
    assert _connection(second.hear_type("NOT_DYN_CONN")) == (FIRST_SENSOR, 1)
    first.command("TAKE_DYN_TEMP", Serial=FIRST_SENSOR)
    assert first.hear()["Data"]["Error"] == "Sensor is not connected"


def test_a_site_sends_spontaneous_notifications(credentials: Credentials, connect: Connect) -> None:
    settings = SiteSettings(notify_every_s=0.01)
    expected = {"AP_CONN", "DYN_CONN", "DYN_TEMP", "DYN_BATT", "DYN_READING_STARTED", "DYN_READING"}
    with Site.start(["gw-1", "gw-2"], credentials=credentials, settings=settings) as site:
        client: Client = connect(url=site.url("gw-1"))
        client.subscribe()
        seen, wrapped = set(), False
        for _ in range(200):
            message = client.hear()
            seen.add(message["Type"].removeprefix("NOT_"))
            wrapped = wrapped or "0" in message["Data"]
            if seen == expected and wrapped:
                break
        assert seen == expected
        assert wrapped
