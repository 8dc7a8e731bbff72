"""A site with TLS in front of its gateways."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulator import Credentials, Site
from tests.workers.conftest import StartWorker
from tests.workers.plant import Plant
from tests.workers.settings import EMAIL, PASSWORD


def make_certificate(path: Path) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that signs itself; `path` gets the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path = path.with_suffix(".key")
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return context


@pytest.mark.req("LIFECYCLE-01", "ORCH-06")
@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_counts_only_if_it_is_trusted(
    plant: Plant,
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
        start_worker()
        row_id = plant.add("AP-1", site.url("AP-1"))
        assert site.url("AP-1").startswith("wss://")
        if trusted:
            plant.wait_for_state(row_id, "connected")
            plant.delete(row_id)
            site.gateway("AP-1").wait(lambda gateway: bool(gateway.sessions_closed))
            [end] = site.gateway("AP-1").sessions_closed
            assert (end.code, end.unsubscribed) == (1000, True)
        else:
            status = plant.wait_for_state(row_id, "retrying")
            assert (status.reason_code, status.reason_retryable) == ("tls_failed", False)
            assert "self-signed" in (status.reason_message or "")
            assert site.gateway("AP-1").logins == 0
