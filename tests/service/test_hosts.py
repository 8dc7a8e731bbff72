"""The hosts that a server answers for."""

import pytest

from service.network.allowed_hosts import OwnHosts, host_in

OWN = OwnHosts.of("127.0.0.1", ["Plant.Example.com", "192.0.2.7", "10.1.0.0/16", "fd00::7", "[fd00::8]"])


@pytest.mark.parametrize(
    "header",
    [
        "localhost",
        "LOCALHOST:3000",
        "localhost.",
        "localhost.:3000",
        "localhost:",
        "127.0.0.1:3000",
        "127.200.0.1",
        "[::1]:3000",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:3000",
        "[::FFFF:7f00:1]",
        "plant.example.com",
        "PLANT.example.COM.:65535",
        "192.0.2.7:80",
        "[::ffff:192.0.2.7]",
        "10.1.2.3:9100",
        "[FD00::7]:1",
        "[fd00:0::8]",
    ],
)
def test_hosts_of_the_server_itself(header: str) -> None:
    assert OWN.include(header)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example:3000",
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "plant.example.com.evil.example",
        "xplant.example.com",
        "127.0.0.1.nip.io",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",  # noqa: S104
        "192.0.2.8",
        "10.2.0.1",
        "[fd00::9]",
        "[::]",
        "[::127.0.0.1]",
        "localhost..",
        "localhost:3000:3000",
        "localhost:x",
        "localhost:123456",
        "localhost, evil.example",
        "evil.example, localhost",
        "localhost@evil.example",
        "localhost/evil.example",
        "http://localhost",
        " localhost",
        "localhost ",
        "::1",
        "[::1",
        "[::1%25lo]",
        "[localhost]",
        "",
        ":3000",
        "loc\u0430lhost",
        "\u017fervice",
    ],
)
def test_foreign_hosts(header: str) -> None:
    assert not OWN.include(header)


@pytest.mark.parametrize("header", ["", ":80", "a b", "a,b", "http://a", "a@b", "[::1", "[a]:x", "ä", "a\n"])
def test_headers_that_name_no_host(header: str) -> None:
    assert host_in(header) is None


def test_a_listening_address_is_a_host_of_the_server() -> None:
    assert OwnHosts.of("plant").include("PLANT:3000")
    assert OwnHosts.of("0.0.0.0").include("0.0.0.0:3000")  # noqa: S104
    assert OwnHosts.of("::").include("[::]:3000")
    assert not OwnHosts.of("0.0.0.0").include("192.0.2.7")  # noqa: S104


@pytest.mark.parametrize(
    "word", ["*", "*.example.com", "http://plant", "plant/", "10.0.0.1/8", "a b", "plant:80"]
)
def test_an_invalid_host_is_rejected(word: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        OwnHosts.of("127.0.0.1", [word])
