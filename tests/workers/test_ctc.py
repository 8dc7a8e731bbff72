"""The protocol without a socket: messages sent, messages received, and the stages they lead to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ctc.codec import ProtocolViolationError, decode_message, encode_command
from workers.ctc.messages import CommandError, Message, login_succeeded
from workers.ctc.session import LoginRejectedError, Session, Stage, SubscriptionRejectedError

pytestmark = pytest.mark.req("ORCH-06")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def answer(message_type: str, data: object) -> bytes:
    return json.dumps({"Type": message_type, "From": "SERV", "Target": "UI", "Data": data}).encode()


def subscribing() -> Session:
    session = Session()
    session.log_in("a@b", "secret")
    session.receive(answer("RTN_LOGIN", {"Success": True}))
    session.subscribe()
    return session


def stage_of(session: Session) -> Stage:
    """Return the stage, hidden from the type checker's narrowing."""
    return session.stage


def test_a_command_has_exactly_four_fields() -> None:
    assert json.loads(encode_command("POST_SUB_CHANGES", {})) == {
        "Type": "POST_SUB_CHANGES",
        "From": "UI",
        "To": "SERV",
        "Data": {},
    }


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_login_carries_any_text(email: str, password: str) -> None:
    sent = json.loads(Session().log_in(email, password))
    assert sent["Data"] == {"Email": email, "Password": password}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_violation(payload: bytes) -> None:
    try:
        message = decode_message(payload)
    except ProtocolViolationError:
        return
    assert isinstance(json.loads(payload), dict)
    assert isinstance(message.type, str)


@given(JSON)
def test_any_json_is_a_message_or_a_violation(value: object) -> None:
    try:
        message = decode_message(json.dumps(value).encode())
    except ProtocolViolationError:
        assert not isinstance(value, dict) or not isinstance(value.get("Type"), str)
    else:
        assert isinstance(value, dict)
        assert message == Message(value["Type"], value.get("Data"))


TAKEN_BACK = [
    ("RTN_LOGIN", {"Success": False, "Error": "session expired"}, "session expired"),
    ("RTN_LOGIN", None, ""),
    ("RTN_ERR", {"Attempt": "POST_LOGIN", "Error": "not logged in"}, "not logged in"),
]


@pytest.mark.parametrize(("message_type", "data", "words"), TAKEN_BACK)
@pytest.mark.parametrize("is_live", [False, True], ids=["subscribing", "live"])
def test_a_login_can_be_revoked(message_type: str, data: object, words: str, is_live: bool) -> None:
    session = subscribing()
    if is_live:
        session.assume_subscribed()
    session.receive(answer("RTN_LOGIN", {"Success": True}))
    with pytest.raises(LoginRejectedError) as rejection:
        session.receive(answer(message_type, data))
    assert str(rejection.value) == words


@given(st.sampled_from(["RTN_LOGIN", "RTN_ERR", "NOT_DYN_TEMP", "X", ""]), JSON)
def test_any_data_leads_to_a_defined_stage(message_type: str, data: object) -> None:
    message = Message(message_type, data)
    assert login_succeeded(message) in {True, False}
    error = CommandError.of(message)
    assert isinstance(error.text, str)
    session = subscribing()
    try:
        session.receive(answer(message_type, data))
    except SubscriptionRejectedError:
        assert message_type == "RTN_ERR"
    except LoginRejectedError:
        assert message_type in {"RTN_LOGIN", "RTN_ERR"}
    assert session.stage in {Stage.SUBSCRIBING, Stage.LIVE}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 60_000, "nested too deep"),
        (b"[" * 100_000, "does not begin as a JSON object"),
        (b"9" * 10_000, "a number of too many digits"),
        (b'{"Type": "N", "Data": ' + b"9" * 5000 + b"}", "a number of too many digits"),
        (b"\xff{}", "not UTF-8"),
        (b"[]", "list"),
        (b"null", "NoneType"),
        (b'"RTN_LOGIN"', "str"),
        (b"{}", "without a Type"),
        (b'{"Type": 1}', "without a Type"),
    ],
)
def test_an_invalid_message_is_described(payload: bytes, words: str) -> None:
    with pytest.raises(ProtocolViolationError, match=words):
        decode_message(payload)


def test_a_session_from_login_to_leaving() -> None:
    session = Session()
    session.log_in("a@b", "secret")
    assert "secret" not in repr(vars(session))
    # A notification may come at any time, also before the answer.
    session.receive(answer("NOT_DYN_TEMP", {}))
    assert stage_of(session) is Stage.LOGGING_IN
    session.receive(answer("RTN_LOGIN", {"Success": True}))
    assert stage_of(session) is Stage.LOGGED_IN
    session.subscribe()
    session.assume_subscribed()
    assert stage_of(session) is Stage.LIVE
    assert json.loads(session.leave() or "")["Type"] == "POST_UNSUB_CHANGES"
    assert stage_of(session) is Stage.LEFT


@pytest.mark.parametrize("data", [{"Success": False}, {"Success": 1}, {"Success": "true"}, {}, [], None])
def test_only_success_true_is_success(data: object) -> None:
    session = Session()
    session.log_in("a@b", "secret")
    with pytest.raises(LoginRejectedError):
        session.receive(answer("RTN_LOGIN", data))
    assert session.stage is Stage.LOGGING_IN


@pytest.mark.parametrize("attempt", ["POST_LOGIN", None, "GET_DYN"])
def test_any_error_before_the_login_is_a_rejection(attempt: str | None) -> None:
    session = Session()
    session.log_in("a@b", "secret")
    with pytest.raises(LoginRejectedError, match="no entry"):
        session.receive(answer("RTN_ERR", {"Attempt": attempt, "Error": "no entry"}))


@pytest.mark.parametrize("first", [b"RTN_SUB_CHANGES", b"NOT_DYN_CONN"])
def test_an_answer_or_a_notification_ends_the_wait_for_a_rejection(first: bytes) -> None:
    session = subscribing()
    session.receive(answer(first.decode(), {}))
    assert session.stage is Stage.LIVE
    session.receive(answer("RTN_ERR", {"Attempt": None, "Error": "about something else"}))
    with pytest.raises(SubscriptionRejectedError):
        session.receive(answer("RTN_ERR", {"Attempt": "POST_SUB_CHANGES", "Error": "late"}))


@pytest.mark.parametrize("attempt", ["POST_SUB_CHANGES", None])
def test_a_rejected_subscription(attempt: str | None) -> None:
    with pytest.raises(SubscriptionRejectedError, match="full"):
        subscribing().receive(answer("RTN_ERR", {"Attempt": attempt, "Error": "full"}))


def test_leaving_before_the_subscription_sends_nothing() -> None:
    session = Session()
    session.log_in("a@b", "secret")
    assert session.leave() is None


def test_nothing_is_sent_out_of_turn() -> None:
    with pytest.raises(AssertionError):
        Session().subscribe()
    session = subscribing()
    with pytest.raises(AssertionError):
        session.log_in("a@b", "secret")
