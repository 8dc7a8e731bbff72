"""A site with TLS in front of its gateways."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service.errors import ConfigurationError
from simulator import Credentials, Site
from tests.support.certificates import Authority, make_certificate
from tests.support.testbed import WorkerTestBed
from tests.support.worker_settings import EMAIL, PASSWORD, worker_config
from tests.support.workers.look_ups import resolving_to
from tests.workers.conftest import StartWorker
from workers.gateway_manager.websocket import resolver as resolver_module


@pytest.mark.req("LIFECYCLE-01", "ORCH-06")
@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_counts_only_if_it_is_trusted(
    testbed: WorkerTestBed,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trusted: bool,
) -> None:
    certificate = tmp_path / "gateway.pem"
    context = make_certificate(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        worker = start_worker()
        row_id = testbed.add("AP-1", site.url("AP-1"))
        assert site.url("AP-1").startswith("wss://")
        if trusted:
            testbed.wait_for_state(row_id, "connected")
            testbed.delete(row_id)
            site.gateway("AP-1").wait(lambda gateway: bool(gateway.sessions_closed))
            [end] = site.gateway("AP-1").sessions_closed
            assert (end.code, end.unsubscribed) == (1000, True)
        else:
            status = testbed.wait_for_state(row_id, "retrying")
            assert (status.reason_code, status.reason_retryable) == ("tls_failed", False)
            assert "self-signed" in (status.reason_message or "")
            assert site.gateway("AP-1").logins == 0
        # Otherwise it could be in the middle of a handshake when the site ends.
        worker.stop()


def wait_for_refusal(testbed: WorkerTestBed, row_id: UUID) -> str:
    """Wait until TLS has failed; return the text about the certificate."""
    status = testbed.wait_for_state(row_id, "retrying")
    assert (status.reason_code, status.reason_phase, status.reason_retryable) == ("tls_failed", "tls", False)
    return status.reason_message or ""


@pytest.mark.parametrize(
    ("issued", "host", "words"),
    [
        pytest.param({"days": (-3, -1)}, "127.0.0.1", "has expired", id="expired"),
        pytest.param({"days": (1, 3)}, "127.0.0.1", "is not valid yet", id="not-yet-valid"),
        pytest.param({"host": "127.0.0.2"}, "127.0.0.1", "for another host", id="wrong-address"),
        pytest.param({"host": "gateway.example"}, "localhost", "for another host", id="wrong-name"),
    ],
)
def test_the_reason_names_the_certificates_problem(
    testbed: WorkerTestBed,
    start_worker: StartWorker,
    tmp_path: Path,
    issued: dict[str, Any],
    host: str,
    words: str,
) -> None:
    authority = Authority()
    context = authority.issue(tmp_path / "gateway.pem", **issued)
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        worker = start_worker(GATEWAY_CA_FILE=str(authority.write(tmp_path / "ca.pem")))
        row_id = testbed.add("AP-1", site.url("AP-1").replace("127.0.0.1", host))
        assert words in wait_for_refusal(testbed, row_id)
        assert site.gateway("AP-1").logins == 0
        # Otherwise it could be in the middle of a handshake when the site ends.
        worker.stop()


@pytest.mark.parametrize("sends_chain", [True, False])
def test_an_unconfigured_authority_is_not_trusted(
    testbed: WorkerTestBed, start_worker: StartWorker, tmp_path: Path, *, sends_chain: bool
) -> None:
    context = Authority("stranger").issue(tmp_path / "gateway.pem", sends_chain=sends_chain)
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        worker = start_worker(GATEWAY_CA_FILE=str(Authority().write(tmp_path / "ca.pem")))
        row_id = testbed.add("AP-1", site.url("AP-1"))
        assert "an authority that is not known here" in wait_for_refusal(testbed, row_id)
        # Otherwise it could be in the middle of a handshake when the site ends.
        worker.stop()


def test_a_name_with_a_trailing_dot_is_verified_without_it(
    testbed: WorkerTestBed, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    context = authority.issue(tmp_path / "gateway.pem", host="gateway.example")
    asked_for: list[str] = []
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    monkeypatch.setattr(resolver_module, "_lookup", resolving_to("127.0.0.1"))
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        worker = start_worker(GATEWAY_CA_FILE=str(authority.write(tmp_path / "ca.pem")))
        row_id = testbed.add("AP-1", site.url("AP-1").replace("127.0.0.1", "gateway.example."))
        testbed.wait_for_state(row_id, "connected")
        # Otherwise it could be in the middle of a handshake when the site ends.
        worker.stop()
    assert set(asked_for) == {"gateway.example"}


def test_a_configured_authority_is_trusted(
    testbed: WorkerTestBed, start_worker: StartWorker, tmp_path: Path
) -> None:
    authority = Authority()
    context = authority.issue(tmp_path / "gateway.pem")
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        worker = start_worker(GATEWAY_CA_FILE=str(authority.write(tmp_path / "ca.pem")))
        testbed.wait_for_state(testbed.add("AP-1", site.url("AP-1")), "connected")
        # Otherwise it could be in the middle of a handshake when the site ends.
        worker.stop()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_invalid_authority_file_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"GATEWAY_CA_FILE .* cannot be used") as refused:
        worker_config("postgresql://127.0.0.1/none", GATEWAY_CA_FILE=str(path))
    assert "\n" not in str(refused.value)
