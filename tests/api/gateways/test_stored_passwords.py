"""A stored password is used with a new URL only where that is safe: the rule and its uses."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.api.services.stored_passwords import PasswordMove, PasswordPolicy
from service.crypto import Sealer, Secret
from simulator import Credentials, Site
from tests.support.api.tokens import bearer, make_token
from tests.support.api_server import KEY, ApiServer, Reply
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.support.worker_settings import EMAIL, PASSWORD

WAIT_S = 10.0
LOOPBACK = "127.0.0.1/32"
SAME, FREE, CONFINED, WITHOUT_TLS, ELSEWHERE = PasswordMove


@pytest.mark.req("LIFECYCLE-02")
@pytest.mark.parametrize("networks", ["", "10.0.0.0/8,fd00::/8"], ids=["no-networks", "networks"])
@pytest.mark.parametrize("only_this_machine", [True, False], ids=["this-machine", "network"])
@pytest.mark.parametrize(
    ("stored", "url", "with_networks"),
    [
        ("ws://gateway:5000", "ws://gateway:5000", SAME),
        ("ws://gateway:5000", "ws://GATEWAY:5000/path?query", SAME),
        ("ws://gateway", "ws://gateway:80", SAME),
        ("wss://gateway", "wss://gateway:443", SAME),
        ("ws://gateway:5000", "wss://gateway:5000", SAME),
        ("ws://[::1]:5000", "ws://[::1]:5000/", SAME),
        # In the form stored by older versions.
        ("ws://[FD00:0:0::1]:80", "ws://[fd00::1]", SAME),
        ("ws://[::ffff:192.0.2.1]:5000", "ws://[::ffff:c000:201]:5000", SAME),
        # Both are looked up as the same address.
        ("ws://[fe80::1%25eth0]:5000", "ws://[fe80::1%eth0]:5000", SAME),
        ("wss://gateway:5000", "ws://gateway:5000", WITHOUT_TLS),
        ("wss://gateway", "ws://gateway", WITHOUT_TLS),
        ("wss://gateway", "ws://10.0.0.1", WITHOUT_TLS),
        ("wss://10.0.0.1", "WS://10.0.0.1", WITHOUT_TLS),
        ("wss://gateway", "wss://10.0.0.1", CONFINED),
        ("ws://gateway", "wss://gateway", CONFINED),
        ("ws://gateway:5000", "ws://gateway:5001", CONFINED),
        ("ws://gateway:5000", "ws://gateway.:5000", CONFINED),
        ("ws://gateway:5000", "ws://gateway.example:5000", CONFINED),
        ("ws://gateway:5000", "ws://other:5000/gateway:5000", CONFINED),
        ("ws://gateway", "ws://10.255.255.255", CONFINED),
        ("ws://gateway", "ws://[::ffff:10.0.0.1]", CONFINED),
        ("ws://gateway", "ws://[fd00::1]", CONFINED),
        # Not an address literal, so a name: the worker checks the address that the system resolves it to.
        ("ws://gateway", "ws://192.168.1", CONFINED),
        ("ws://gateway", "ws://0x01020304", CONFINED),
        ("ws://gateway", "ws://11.0.0.1", ELSEWHERE),
        ("ws://10.0.0.1", "ws://11.0.0.1", ELSEWHERE),
        ("ws://gateway", "ws://[fe80::1]", ELSEWHERE),
        ("ws://gateway", "ws://[::ffff:11.0.0.1]", ELSEWHERE),
        ("ws://gateway", "ws://[::10.0.0.1]", ELSEWHERE),
    ],
)
def test_whether_a_new_url_may_take_the_password_along(
    stored: str, url: str, with_networks: PasswordMove, networks: str, *, only_this_machine: bool
) -> None:
    allowed = tuple(ip_network(text) for text in networks.split(",") if text)
    expected = with_networks
    if expected in (CONFINED, ELSEWHERE):
        expected = expected if allowed else ELSEWHERE
        expected = FREE if only_this_machine else expected
    assert PasswordPolicy(only_this_machine, allowed).judge(stored, url) is expected


@dataclass(frozen=True)
class Service:
    """An API, by default with required tokens, a worker, and two gateways."""

    api: ApiServer
    database: psycopg.Connection
    site: Site
    headers: dict[str, str]

    def call(self, method: str, path: str, body: object = None) -> Reply:
        return self.api.call(method, path, body, headers=self.headers)

    def register(self, **changes: object) -> str:
        """Create a gateway at the first of the two; return its path once it is connected."""
        factory = self.call("POST", "/api/factories", {"name": "Mill"}).json["id"]
        body = {"factory_id": factory, "gateway_id": "CTC-1", "name": "Press section", "email": EMAIL}
        body |= {"url": self.site.gateways[0].url, "password": PASSWORD, **changes}
        reply = self.call("POST", "/api/gateways", body)
        assert reply.status == 201, reply.body
        return f"/api/gateways/{reply.json['id']}"

    def wait_for(self, path: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a status; return it."""
        seen: list[dict[str, Any]] = []

        def shown() -> bool:
            seen[:] = [self.call("GET", f"{path}/status").json]
            return what(seen[0])

        wait_until(shown, WAIT_S, "the status")
        return seen[0]

    def is_confined(self) -> bool:
        row = self.database.execute("SELECT password_is_confined FROM gateways").fetchone()
        assert row is not None
        return bool(row[0])

    def reencrypt(self) -> None:
        """Re-encrypt, as the key rotation does."""
        sealer = Sealer(Secret(KEY))
        with self.database.transaction():
            self.database.execute("SET LOCAL millgate.reencrypting = 'yes'")
            for row_id, sealed in self.database.execute(
                "SELECT id, sealed_password FROM gateways"
            ).fetchall():
                anew = sealer.seal(sealer.open(sealed, row_id), row_id)
                self.database.execute("UPDATE gateways SET sealed_password = %s", (anew,))


StartService = Callable[..., Service]


@contextmanager
def running_service(
    url: str, directory: Path, extra: dict[str, str], worker_extra: dict[str, str]
) -> Iterator[Service]:
    token = make_token(url, "tests", "write")
    with (
        psycopg.connect(url, autocommit=True) as database,
        Site.start(["AP-1", "AP-2"], credentials=Credentials(EMAIL, PASSWORD), one_port_each=True) as site,
        ApiServer(url, directory / "api.log", {"AUTH": "required", **extra}) as api,
    ):
        worker = ThreadedWorker(url, {"BACKOFF_MAX_S": "0.2", "LEASE_S": "8", **worker_extra})
        try:
            yield Service(api, database, site, bearer(token))
        finally:
            worker.stop()


@pytest.fixture
def start_service(database_url: str, tmp_path: Path) -> Iterator[StartService]:
    """Start the service with GATEWAY_NETWORKS_ALLOWED for the API and the worker."""
    with ExitStack() as stack:

        def start(networks: str = "", worker_networks: str | None = None, **extra: str) -> Service:
            of_worker = networks if worker_networks is None else worker_networks
            return stack.enter_context(
                running_service(
                    database_url,
                    tmp_path,
                    {"GATEWAY_NETWORKS_ALLOWED": networks, **extra},
                    {"GATEWAY_NETWORKS_ALLOWED": of_worker},
                )
            )

        yield start


def has_reason(code: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["reason"] is not None and status["reason"]["code"] == code


@pytest.mark.parametrize(
    "reachable",
    [{"HOST": "0.0.0.0"}, {"TRUSTED_PROXIES": "1"}],  # noqa: S104
    ids=["host", "proxy"],
)
@pytest.mark.req("LIFECYCLE-02", "GATEWAY-04")
def test_without_tokens_a_reachable_api_never_sends_a_stored_password_elsewhere(
    start_service: StartService, reachable: dict[str, str]
) -> None:
    service = start_service(AUTH="off", **reachable)
    path = service.register()
    second = service.site.gateways[1]
    for method, where in (("PUT", path), ("PATCH", path), ("POST", f"{path}/test")):
        reply = service.call(method, where, {"url": second.url})
        assert (reply.status, reply.error["code"]) == (400, "PASSWORD_REQUIRED")
    assert service.call("PATCH", path, {"url": second.url, "password": PASSWORD}).status == 200
    service.wait_for(path, is_connected)
    assert second.logins == 1


def is_connected(status: dict[str, Any]) -> bool:
    return bool(status["state"] == "connected" and status["observed_generation"] == status["generation"])


@pytest.mark.req("LIFECYCLE-02", "GATEWAY-04")
def test_a_token_alone_does_not_redirect_a_stored_password(start_service: StartService) -> None:
    service = start_service()
    path = service.register()
    first, second = service.site.gateways
    service.wait_for(path, is_connected)
    before = service.call("GET", path)
    secure = f"wss{second.url.removeprefix('ws')}"
    for method in ("PUT", "PATCH"):
        for body in ({"url": second.url}, {"url": secure}, {"url": second.url, "email": "m@example.com"}):
            reply = service.call(method, path, body)
            assert (reply.status, reply.error["code"]) == (400, "PASSWORD_REQUIRED")
            assert reply.fields == ["password"]
            assert "Include the password" in reply.error["message"]
            assert "GATEWAY_NETWORKS_ALLOWED" in reply.error["message"]
    assert service.call("POST", f"{path}/test", {"url": second.url}).error["code"] == "PASSWORD_REQUIRED"
    # A failed precondition is reported first, and so is an unknown gateway.
    stale = {**service.headers, "If-Match": '"0"'}
    assert service.api.call("PATCH", path, {"url": second.url}, headers=stale).status == 412
    nobody = f"/api/gateways/{before.json['factory_id']}"
    assert service.call("PATCH", nobody, {"url": second.url}).status == 404
    # The version: when the gateway was last heard of goes on.
    after = service.call("GET", path)
    assert after.headers["ETag"].partition("-")[0] == before.headers["ETag"].partition("-")[0]
    # An email alone, a path alone, and the same url keep the password's target.
    assert service.call("PATCH", path, {"url": f"{first.url}/path", "name": "Press"}).status == 200
    assert service.call("PATCH", path, {"email": "other@example.com"}).status == 200
    assert service.call("PUT", path, {"url": second.url, "email": EMAIL, "password": PASSWORD}).status == 200
    service.wait_for(path, is_connected)
    assert (second.attempts, second.logins, service.is_confined()) == (1, 1, False)


@pytest.mark.req("LIFECYCLE-02")
def test_without_tokens_on_loopback_a_stored_password_moves_but_never_out_of_tls(
    start_service: StartService,
) -> None:
    service = start_service(AUTH="off")
    path = service.register()
    second = service.site.gateways[1]
    service.wait_for(path, is_connected)
    assert service.call("POST", f"{path}/test", {"url": second.url}).json["ok"]
    assert service.call("PATCH", path, {"url": second.url}).status == 200
    service.wait_for(path, is_connected)
    assert (second.logins, service.is_confined()) == (2, False)
    secure = f"wss{second.url.removeprefix('ws')}"
    assert service.call("PATCH", path, {"url": secure}).status == 200
    for body in ({"url": second.url}, {"url": service.site.gateways[0].url}):
        for method, where in (("PATCH", path), ("PUT", path), ("POST", f"{path}/test")):
            reply = service.call(method, where, body)
            assert (reply.status, reply.error["code"]) == (400, "PASSWORD_REQUIRED")
            assert "keep wss://" in reply.error["message"]


@pytest.mark.req("LIFECYCLE-02")
def test_an_import_brings_its_passwords_and_moves_none(start_service: StartService) -> None:
    service = start_service(LOOPBACK, AUTH="off")
    path = service.register()
    stored = service.call("GET", path)
    row = {name: stored.json[name] for name in ("factory_id", "gateway_id", "name", "email")}
    row["url"] = service.site.gateways[1].url
    for values, mistake in [(row, "lines.1.password"), ({**row, "password": PASSWORD}, "lines.1.gateway_id")]:
        reply = service.api.call(
            "POST",
            "/api/gateways/import",
            body=json.dumps(values).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert (reply.status, reply.fields) == (400, [mistake])
    assert service.call("GET", path).json["url"] == stored.json["url"]


@pytest.mark.req("LIFECYCLE-02")
def test_within_allowed_networks_a_stored_password_moves(start_service: StartService) -> None:
    service = start_service(LOOPBACK)
    path = service.register()
    second = service.site.gateways[1]
    service.wait_for(path, is_connected)
    assert service.call("PATCH", path, {"url": "ws://127.0.0.2:5000"}).status == 400
    for host in ("127.0.0.1", "localhost"):
        url = second.url.replace("127.0.0.1", host)
        assert service.call("POST", f"{path}/test", {"url": url}).json["ok"]
        assert service.call("PATCH", path, {"url": url}).status == 200
        service.wait_for(path, is_connected)
        assert service.is_confined()


@pytest.mark.req("LIFECYCLE-02")
def test_the_worker_checks_the_address_of_a_name(start_service: StartService) -> None:
    # For the API any name may be in these networks; `localhost` is not.
    service = start_service("192.0.2.0/24", worker_networks="")
    path = service.register()
    second = service.site.gateways[1]
    service.wait_for(path, is_connected)
    url = second.url.replace("127.0.0.1", "localhost")
    tried = service.call("POST", f"{path}/test", {"url": url}).json["failure"]
    assert (tried["step"], tried["code"], tried["retryable"]) == ("connect", "password_required", False)
    assert service.call("PATCH", path, {"url": url}).status == 200
    status = service.wait_for(path, has_reason("password_required"))
    assert status["state"] == "retrying"
    assert (status["reason"]["phase"], status["reason"]["retryable"]) == ("tcp", False)
    assert "GATEWAY_NETWORKS_ALLOWED" in status["reason"]["message"]
    # Nothing else lifts the restriction: no new path, no restore, no re-encryption.
    assert service.call("PATCH", path, {"url": f"{url}/path"}).status == 200
    assert service.call("DELETE", path).status == 204
    assert service.call("POST", f"{path}/restore").status == 200
    service.reencrypt()
    assert service.is_confined()
    service.wait_for(path, has_reason("password_required"))
    again = service.call("POST", f"{path}/test").json["failure"]
    assert again["code"] == "password_required"
    assert second.attempts == 0
    # A client that knows the password may send it there.
    assert service.call("PATCH", path, {"password": PASSWORD}).status == 200
    service.wait_for(path, is_connected)
    assert (second.logins, service.is_confined()) == (1, False)


@pytest.mark.req("LIFECYCLE-02")
def test_the_worker_rejects_a_name_outside_its_networks(start_service: StartService) -> None:
    service = start_service("192.0.2.0/24")
    path = service.register(url="ws://192.0.2.1:5000")
    second = service.site.gateways[1]
    assert service.call("PATCH", path, {"url": second.url.replace("127.0.0.1", "localhost")}).status == 200
    service.wait_for(path, has_reason("address_denied"))
    assert second.attempts == 0
