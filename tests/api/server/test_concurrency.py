"""Concurrent requests."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from tests.support.api_server import ApiServer, gateway_body

CREATORS = 5
ROUNDS = 8


@pytest.mark.req("FACTORY-05", "FACTORY-06")
def test_a_factory_deleted_while_gateways_are_created_leaves_no_orphan(
    api: ApiServer, database: psycopg.Connection
) -> None:
    created = 0
    for number in range(ROUNDS):
        factory_id = api.factory()["id"]
        start = Barrier(CREATORS + 1)

        def create(creator: int, start: Barrier = start, path_id: str = factory_id, n: int = number) -> int:
            start.wait(timeout=10)
            return api.call("POST", "/api/gateways", gateway_body(path_id, f"CTC-{n}-{creator}")).status

        with ThreadPoolExecutor(CREATORS) as creators:
            statuses = [creators.submit(create, creator) for creator in range(CREATORS)]
            start.wait(timeout=10)
            assert api.call("DELETE", f"/api/factories/{factory_id}").status == 204
        assert {status.result() for status in statuses} <= {201, 400}
        created += [status.result() for status in statuses].count(201)
    assert 0 < created < CREATORS * ROUNDS, "the requests were concurrent"
    assert api.call("GET", "/api/gateways").json["pagination"]["total"] == 0
    assert database.execute("SELECT count(*) FROM gateways").fetchone() == (created,)


@pytest.mark.req("GATEWAY-01")
def test_one_of_many_concurrent_registrations_of_a_device_succeeds(api: ApiServer) -> None:
    factory_id = api.factory()["id"]

    def create(_number: int) -> int:
        return api.call("POST", "/api/gateways", gateway_body(factory_id, "CTC-1")).status

    with ThreadPoolExecutor(8) as creators:
        assert sorted(creators.map(create, range(8))) == [201, *[409] * 7]
