"""Certificates for tests."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
LOCALHOST = "127.0.0.1"
DAYS = (-1, 1)


class Authority:
    """A self-signed certificate authority."""

    def __init__(self, name: str = "plant") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        unsigned = _unsigned(self._name, self._name, self._key, LOCALHOST, DAYS)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = unsigned.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())

    def write(self, path: Path) -> Path:
        """Write its certificate for clients that trust it."""
        path.write_bytes(_pem(self.certificate))
        return path

    def issue(
        self, path: Path, host: str = LOCALHOST, days: tuple[int, int] = DAYS, *, sends_chain: bool = False
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for this host, valid from … to … days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=False, path_length=None)
        unsigned = _unsigned(_name("gateway"), self._name, key, host, days)
        certificate = unsigned.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())
        path.write_bytes(_pem(certificate) + (_pem(self.certificate) if sends_chain else b""))
        return _server_context(path, key)

    def context(self, path: Path) -> ssl.SSLContext:
        """Return a server's context with the authority's own certificate, written to `path`."""
        return _server_context(self.write(path), self._key)


def make_certificate(path: Path) -> ssl.SSLContext:
    """Return a server's context with a self-signed certificate for 127.0.0.1, written to `path`."""
    return Authority("gateway").context(path)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: Key, host: str, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([_host(host)]), critical=False)
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _server_context(path: Path, key: Key) -> ssl.SSLContext:
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
