"""A site of two gateways, and clients that are closed at the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from simulator import Credentials, Gateway, Site
from tests.simulator.client import Client

Connect = Callable[..., Client]


@pytest.fixture
def credentials() -> Credentials:
    return Credentials("plant@example.com", "secret")


@pytest.fixture
def site(credentials: Credentials) -> Iterator[Site]:
    with Site.start(["gw-1", "gw-2"], credentials=credentials) as started:
        yield started


@pytest.fixture
def gateway(site: Site) -> Gateway:
    return site.gateway("gw-1")


@pytest.fixture
def connect(site: Site) -> Iterator[Connect]:
    with ExitStack() as closing:

        def connect(gateway_id: str = "gw-1", url: str | None = None, **options: Any) -> Client:
            client = Client(url or site.url(gateway_id), **options)
            closing.callback(client.socket.shutdown)
            return client

        yield connect
