"""A worker connects only to allowed addresses, regardless of names and URLs."""

import ipaddress

import pytest

from service.errors import ConfigurationError
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_config
from tests.support.workers.look_ups import resolving_to
from tests.workers.conftest import StartSite, StartWorker
from workers.gateway_manager.websocket import resolver as resolver_module
from workers.gateway_manager.websocket.address_policy import Network, NetworkPolicy


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "192.168.0.9",
        "127.0.0.1",
        "::1",
        "8.8.8.8",
        "2001:db8::1",
        "fd12::1",
        "64:ff9b::10.1.2.3",
        "64:ff9b:1::10.1.2.3",
        "64:ff9b:1:a01:2:300::",
        "::ffff:0:10.1.2.3",
    ],
)
def test_default_policy_blocks_only_special_addresses(address: str) -> None:
    assert NetworkPolicy().allows(address)
    assert not NetworkPolicy(denied=networks("0.0.0.0/0", "::/0")).allows(address)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        # The same embedded in IPv6: mapped, NAT64 (well-known, and a plant's own in both forms), compatible,
        # 6to4, Teredo (the client's address is written inverted; the server's is not), ISATAP.
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:5601:5601",
        "2001:0:a9fe:a9fe:8000:63bf:3fff:fdd2",
        "2001:db8::5efe:169.254.169.254",
        "2001:db8::200:5efe:169.254.169.254",
        # IPv4-translated (RFC 2765), and a plant's own NAT64 with every length of prefix that fits in it.
        "::ffff:0:169.254.169.254",
        "64:ff9b:1:1:a9:fea9:fe00:0",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:2:3:4:169.254.169.254",
    ],
)
def test_addresses_that_no_gateway_can_have_are_always_blocked(address: str) -> None:
    assert not NetworkPolicy().allows(address)
    # Not even if everything is allowed.
    assert not NetworkPolicy(allowed=networks("0.0.0.0/0", "::/0")).allows(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.20.0.1", True),
        ("::ffff:10.20.0.1", True),
        ("64:ff9b::10.20.0.1", True),
        ("::ffff:0:10.20.0.1", True),
        ("10.21.0.1", False),
        ("10.20.9.1", False),
        ("::ffff:10.20.9.1", False),
        ("64:ff9b::10.20.9.1", False),
        ("::ffff:0:10.20.9.1", False),
        ("::ffff:0:10.21.0.1", False),
        # The prefix length is unknown: enough to deny it, too little to allow it.
        ("64:ff9b:1::10.20.0.1", False),
        ("2002:0a14:0001::1", False),
        ("fd12::1", True),
        ("fd13::1", False),
        ("127.0.0.1", False),
        ("169.254.7.1", True),
        ("169.254.8.1", False),
    ],
)
def test_an_allow_list_blocks_the_rest_and_a_deny_list_wins(address: str, *, expected: bool) -> None:
    policy = NetworkPolicy(
        allowed=networks("10.20.0.0/16", "fd12::/32", "169.254.7.0/24"), denied=networks("10.20.9.0/24")
    )
    assert policy.allows(address) is expected


# RFC 6052, section 2.4: 192.0.2.33 after prefixes of every length.
@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_the_policy_sees_through_a_nat64_prefix_of_the_plant(prefix: str, address: str) -> None:
    inner = networks("192.0.2.33/32")
    prefixes = (ipaddress.IPv6Network(prefix),)
    assert not NetworkPolicy(denied=inner, nat64_prefixes=prefixes).allows(address)
    assert NetworkPolicy(allowed=inner, nat64_prefixes=prefixes).allows(address)
    other = networks("192.0.2.34/32")
    assert NetworkPolicy(denied=other, nat64_prefixes=prefixes).allows(address)
    assert not NetworkPolicy(allowed=other, nat64_prefixes=prefixes).allows(address)


@pytest.mark.parametrize("value", ["2001:db8::/33", "10.0.0.0/8", "2001:db8::1/96", "plant"])
def test_an_invalid_nat64_prefix_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_NAT64_PREFIXES") as refused:
        worker_config("postgresql://127.0.0.1/none", GATEWAY_NAT64_PREFIXES=value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("denied", ["::ffff:10.0.0.0/104", "10.0.0.0/8"])
def test_a_network_may_be_named_in_its_mapped_form(denied: str) -> None:
    policy = worker_config("postgresql://127.0.0.1/none", GATEWAY_NETWORKS_DENIED=denied).networks
    assert not policy.allows("10.1.2.3")
    assert not policy.allows("::ffff:10.1.2.3")
    assert not policy.allows("::ffff:0:10.1.2.3")
    assert policy.allows("11.1.2.3")


@pytest.mark.parametrize("value", ["10.0.0.0/33", "plant", "10.0.0.1/8", "10.0.0.0/8;10.1.0.0/16"])
@pytest.mark.parametrize("name", ["GATEWAY_NETWORKS_ALLOWED", "GATEWAY_NETWORKS_DENIED"])
def test_an_invalid_network_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        worker_config("postgresql://127.0.0.1/none", **{name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"])
def test_a_denied_gateway_is_never_contacted(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, host: str
) -> None:
    gateway = start_site().gateways[0]
    start_worker(GATEWAY_NETWORKS_DENIED="127.0.0.0/8,::1")
    row_id = testbed.add("AP-1", gateway.url.replace("127.0.0.1", host))
    status = testbed.wait_for_state(row_id, "retrying")
    assert (status.reason_code, status.reason_phase) == ("address_denied", "tcp")
    assert status.reason_retryable is False
    assert "is not allowed for gateways" in (status.reason_message or "")
    assert gateway.attempts == 0


def test_the_address_is_checked_again_on_every_attempt(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_site().gateways[0]
    monkeypatch.setattr(resolver_module, "_lookup", resolving_to("127.0.0.1"))
    start_worker()
    row_id = testbed.add("AP-1", gateway.url.replace("127.0.0.1", "gateway.example"))
    testbed.wait_for_state(row_id, "connected")
    monkeypatch.setattr(resolver_module, "_lookup", resolving_to("169.254.169.254"))
    gateway.drop()
    wait_until(lambda: testbed.status(row_id).reason_code == "address_denied", 8, "the refusal")
    assert gateway.attempts == 1


def test_of_several_addresses_only_the_allowed_are_tried(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_site().gateways[0]
    monkeypatch.setattr(resolver_module, "_lookup", resolving_to("169.254.169.254", "fe80::1", "127.0.0.1"))
    start_worker()
    row_id = testbed.add("AP-1", gateway.url.replace("127.0.0.1", "gateway.example"))
    testbed.wait_for_state(row_id, "connected")
    assert [event.reason_code for event in testbed.events(row_id) if event.to_state == "retrying"] == []
