"""The target of a gateway's URL: looked-up name, TLS server name, Host header and path."""

import pytest

from workers.gateway_manager.websocket.handshake import encode_request
from workers.gateway_manager.websocket.target import Target

pytestmark = pytest.mark.req("ORCH-06")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ws://gateway.example", "gateway.example"),
        ("ws://gateway.example:80", "gateway.example"),
        ("wss://gateway.example:443", "gateway.example"),
        # The other scheme's default port is not omitted: RFC 9110, section 7.2.
        ("ws://gateway.example:443", "gateway.example:443"),
        ("wss://gateway.example:80", "gateway.example:80"),
        ("ws://gateway.example:5000/path", "gateway.example:5000"),
        ("ws://gateway.example:0080", "gateway.example"),
        ("WSS://Gateway.Example:8443", "gateway.example:8443"),
        ("wss://gateway.example.:8443", "gateway.example.:8443"),
        ("ws://192.0.2.7:5000", "192.0.2.7:5000"),
        ("ws://[2001:db8::7]:5000", "[2001:db8::7]:5000"),
        ("wss://[2001:db8::7]", "[2001:db8::7]"),
        # A zone is meaningful on this machine only: RFC 6874, section 4.
        ("ws://[fe80::7%25eth0]:5000", "[fe80::7]:5000"),
        ("ws://[fe80::7%eth0]:5000", "[fe80::7]:5000"),
    ],
)
def test_the_host_header_is_the_authority_of_the_url(url: str, host: str) -> None:
    request = encode_request(Target.of(url), "key")
    assert request.decode("ascii").split("\r\n").count(f"Host: {host}") == 1


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("ws://h", "/"),
        ("ws://h/", "/"),
        ("ws://h?x=1", "/?x=1"),
        ("ws://h/a/b?x=1&y=%20", "/a/b?x=1&y=%20"),
        ("ws://h/a?", "/a"),
        ("ws://h//a", "//a"),
    ],
)
def test_the_request_asks_for_path_and_query(url: str, resource: str) -> None:
    assert encode_request(Target.of(url), "key").startswith(f"GET {resource} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("url", "looked_up", "server_name"),
    [
        ("wss://gateway.example", "gateway.example", "gateway.example"),
        # RFC 6066, section 3: without the trailing dot, with which the name is looked up.
        ("wss://gateway.example.", "gateway.example.", "gateway.example"),
        ("wss://192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("wss://[2001:db8::7]", "2001:db8::7", "2001:db8::7"),
        ("wss://[fe80::7%25eth0]", "fe80::7%eth0", "fe80::7"),
    ],
)
def test_a_name_is_looked_up_as_written_and_verified_without_dot_or_zone(
    url: str, looked_up: str, server_name: str
) -> None:
    target = Target.of(url)
    assert (target.host, target.server_name) == (looked_up, server_name)
