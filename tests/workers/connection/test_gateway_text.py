"""Of a gateway's text only harmless words are shown, and none of the login."""

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.postgres.server import free_port
from service.crypto import Secret
from simulator import Credentials as SiteCredentials
from simulator import Site
from tests.support.certificates import Authority
from tests.support.raw_server import TEXT, Peer, RawServer, close_frame, frame
from tests.support.secret_forms import forms, forms_in
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL
from tests.workers.conftest import SpawnWorker
from workers.ctc.session import LoginRejectedError
from workers.gateway_manager.connection.gateway_text import (
    GAP,
    MAX_WORDS,
    WORDS,
    known_words,
    without_numbers,
)
from workers.gateway_manager.connection.login import Credentials, rejection_reason

PASSWORD = 'pä"ss\\wörd-77'
ADDRESS = "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}.o'brien+plant@example.com"
# Passwords for the property tests; one of two letters occurs in any sentence.
PASSWORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=40)
EVERY_FORM = st.sampled_from(sorted(forms(PASSWORD)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid email or password", "Invalid email or password"),
        ("INVALID_CREDENTIALS", "INVALID_CREDENTIALS"),
        ("Login failed: user is already logged in.", "Login failed: user is already logged in"),
        ("Maximum number of sessions exceeded (8)", "Maximum number of sessions exceeded …"),
        ("the user 'x17' may not log-in", "the user … may not log-in"),
        ("not x17, x18\n\x1b[31m x19, allowed", "not …, … … …, allowed"),
        ("lOgIn LogIn invalid__credentials -login", ""),
        ("", ""),
        ("x17 x18", ""),
        ("\u2028\x00 ", ""),
        (" ".join(["no"] * 100), " ".join(["no"] * MAX_WORDS)),
        ("no" * 4_000_000, ""),
    ],
)
def test_harmless_words_are_shown(text: str, shown: str) -> None:
    assert known_words(text, EMAIL, PASSWORD) == shown


@pytest.mark.parametrize(
    ("password", "text", "shown"),
    [
        ("wrong user", "wrong user", ""),
        ("Wrong-User", "the WRONG user is unknown", ""),
        ("session_limit", "session_limit reached: session/limit", ""),
        ("invalidate", "invalid", ""),
        # A gap would reveal it: the gateway sends "wrong password for user" to every client.
        ("Password1", "wrong password for user", ""),
        ("x_for_y", "wrong password for user", "wrong password … user"),
    ],
)
def test_words_of_the_password_are_not_shown(password: str, text: str, shown: str) -> None:
    assert known_words(text, EMAIL, password) == shown


@pytest.mark.req("GATEWAY-07")
@given(
    password=PASSWORDS, form=EVERY_FORM, before=st.sampled_from(["", "login of ", "not ", '{"Password": "'])
)
def test_no_encoding_of_a_password_is_shown(password: str, form: str, before: str) -> None:
    shown = known_words(f"{before}{forms(password)[form]} is unknown", EMAIL, password)
    words = re.findall(r"\w+", shown)
    assert not [word for word in words if word.lower() in password.casefold()]
    # Only the number of words in the password's place is shown.
    assert set(words) <= {"login", "of", "not", "is", "unknown"}
    assert re.fullmatch(r"[\w.,;:!?… ]*", shown)


@pytest.mark.req("GATEWAY-07")
@given(
    local=st.text("abcdefXYZ0123456789._+'-", min_size=6, max_size=30),
    form=EVERY_FORM,
)
def test_no_encoding_of_an_address_is_in_a_reason(local: str, form: str) -> None:
    email = f"{local}@example.com"
    text = f"unknown is {forms(email)[form]}"
    reason = rejection_reason(LoginRejectedError(text), Credentials(email, Secret(PASSWORD)))
    assert forms_in(reason.message, email) == []
    assert ": unknown is" in reason.message


@pytest.mark.req("GATEWAY-07")
@pytest.mark.parametrize("password", ["4711", "pin 4711!", "11"])
def test_a_number_that_is_part_of_a_password_is_hidden(password: str) -> None:
    for text in ("closed the session with code 4711.", "with HTTP status 4711; that", "close code 4711."):
        hidden = text.replace("4711", GAP)
        assert without_numbers(text, [password]) == hidden
        assert without_numbers(text, ["secret"]) == text


def test_no_word_of_the_list_is_an_encoding_of_a_text() -> None:
    """No listed word is base64 of a typed text of six or more characters, nor a hexadecimal number."""
    for word in WORDS | {word.capitalize() for word in WORDS} | {word.upper() for word in WORDS}:
        assert word.isascii()
        assert word.isalpha()
        with suppress(UnicodeDecodeError, binascii.Error):
            decoded = base64.b64decode(word + "=" * (-len(word) % 4)).decode()
            assert len(decoded) < 6 or not decoded.isprintable(), word
        with suppress(ValueError):
            assert not bytes.fromhex(word), word


def error(attempt: str, text: str) -> bytes:
    data = {"Attempt": attempt, "Error": text}
    return frame(TEXT, json.dumps({"Type": "RTN_ERR", "From": "SERV", "Target": "UI", "Data": data}).encode())


def logged_in(peer: Peer) -> None:
    peer.receive()
    peer.send(
        frame(TEXT, b'{"Type": "RTN_LOGIN", "From": "SERV", "Target": "UI", "Data": {"Success": true}}')
    )
    peer.receive()


def refuses_login(peer: Peer, quoted: str) -> None:
    peer.receive()
    peer.send(error("POST_LOGIN", f"no login with {quoted} here"))


def refuses_subscription(peer: Peer, quoted: str) -> None:
    logged_in(peer)
    peer.send(error("POST_SUB_CHANGES", f"not {quoted}"))


def answers_with_garbage(peer: Peer, quoted: str) -> None:
    peer.receive()
    peer.send(frame(TEXT, quoted.encode()))


def closes_with_words(peer: Peer, quoted: str) -> None:
    logged_in(peer)
    peer.send(frame(TEXT, json.dumps({"Type": quoted, "Data": {quoted: quoted}}).encode()))
    peer.send(frame(0x9, quoted.encode()[:125]))
    peer.send(close_frame(1008, quoted.encode()[:100].decode(errors="ignore").encode()))


def breaks_the_protocol(peer: Peer, quoted: str) -> None:
    logged_in(peer)
    peer.send(frame(0x3, quoted.encode()))


QUOTING = [refuses_login, refuses_subscription, answers_with_garbage, closes_with_words, breaks_the_protocol]


def quoting(how: Callable[[Peer, str], None], next_text: Callable[[], str]) -> RawServer:
    def serve(peer: Peer) -> None:
        how(peer, next_text())
        # Until the worker has read it and disconnected.
        with suppress(EOFError, AssertionError):
            while True:
                peer.receive()

    return RawServer(serve)


@pytest.mark.req("GATEWAY-07", "CRYPTO-02")
def test_a_quoted_login_is_shown_nowhere(
    testbed: WorkerTestBed, spawn_worker: SpawnWorker, tmp_path: Path
) -> None:
    """It is in no column, log line or number, in any encoding and wherever the peer puts it."""
    quotes = [*forms(PASSWORD).values(), *forms(ADDRESS).values()]
    port, turns = free_port(), {how.__name__: count() for how in QUOTING}
    turns |= {"upgrade": count()}
    lock = threading.Lock()

    def next_of(name: str) -> Callable[[], str]:
        def next_form() -> str:
            with lock:
                return quotes[next(turns[name]) % len(quotes)]

        return next_form

    def refusal(_key: bytes) -> bytes:
        words = next_of("upgrade")().encode()
        return b"HTTP/1.1 401 " + words + b"\r\nWWW-Authenticate: " + words + b"\r\n\r\n" + words

    authority = Authority(PASSWORD)
    with ExitStack() as stack:
        servers = [stack.enter_context(quoting(how, next_of(how.__name__))) for how in QUOTING]
        servers.append(stack.enter_context(RawServer(lambda _: None, refusal)))
        context = authority.issue(tmp_path / "gateway.pem")
        credentials = SiteCredentials(ADDRESS, PASSWORD)
        site = stack.enter_context(Site.start(["TLS"], credentials=credentials, ssl_context=context))
        worker = spawn_worker(
            LOG_LEVEL="debug",
            METRICS_PORT=str(port),
            BACKOFF_MAX_S="0.1",
            LOGIN_TRIES="100",
            LOGIN_RETRY_S="0.05",
            LIVENESS_TIMEOUT_S="5",
        )
        rows = [
            testbed.add(f"Q-{number}", server.url, PASSWORD, ADDRESS) for number, server in enumerate(servers)
        ]
        secure = testbed.add("TLS", site.url("TLS"), PASSWORD, ADDRESS)
        wait_until(
            lambda: all(server.accepted > len(quotes) for server in servers), 60, "every form to be quoted"
        )
        wait_until(lambda: testbed.status(secure).reason_code == "tls_failed", 10, "the certificate")
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            numbers = answer.read().decode()
        statuses = str([testbed.status(row_id) for row_id in rows])
        assert worker.terminate() == 0
    tables = ("gateway_events", "gateway_connections", "workers", "gateway_statuses")
    stored = "\n".join(str(testbed.rows(f"SELECT * FROM {table}")) for table in tables)  # noqa: S608
    codes = {event.reason_code for row_id in rows for event in testbed.events(row_id)}
    assert {
        "login_rejected",
        "subscribe_rejected",
        "protocol_error",
        "closed_by_gateway",
        "upgrade_rejected",
    } <= codes
    assert "no login with … here" not in stored
    assert "rejected the login: no login with …" in stored, "the gateway's harmless words are shown"
    for place, text in {
        "database": stored,
        "log": worker.log,
        "metrics": numbers,
        "status": statuses,
    }.items():
        assert forms_in(text, PASSWORD) == [], place
        assert forms_in(text, ADDRESS) == [], place
