"""The README's example with a client generated from the description: `readme_walk.py URL TOKEN`."""

import sys

from millgate_client import AuthenticatedClient, models
from millgate_client.api.factories import create_factory, delete_factory
from millgate_client.api.gateways import create_gateway, delete_gateway, list_gateways, update_gateway
from millgate_client.api.status import connect_gateway, disconnect_gateway, get_status


def walk(client: AuthenticatedClient) -> None:
    factory = create_factory.sync(
        client=client, body=models.FactoryCreate(name="Paper mill", timezone="Europe/Berlin")
    )
    assert isinstance(factory, models.FactoryResponse), factory
    gateway = create_gateway.sync(
        client=client,
        body=models.GatewayCreate(
            factory_id=factory.id,
            gateway_id="CTC-0001",
            name="Press section",
            url="ws://127.0.0.1:5000",
            email="plant@example.com",
            password="secret",
        ),
    )
    assert isinstance(gateway, models.GatewayResponse), gateway

    status = get_status.sync(gateway.id, client=client)
    assert isinstance(status, models.StatusResponse), status
    assert (status.id, status.state, status.reason.code) == (gateway.id, "disconnected", "no_worker")

    for body in (models.GatewayUpdate(password="other secret"), models.GatewayUpdate(name="North")):
        changed = update_gateway.sync(gateway.id, client=client, body=body)
        assert isinstance(changed, models.GatewayResponse), changed
    assert changed.name == "North"
    changed = update_gateway.sync(
        gateway.id, client=client, body=models.GatewayUpdate(name="South"), if_match='"1-0"'
    )
    assert isinstance(changed, models.ErrorResponse), changed
    assert changed.error.code == "PRECONDITION_FAILED"

    for operation, wanted in ((disconnect_gateway, "disconnected"), (connect_gateway, "connected")):
        status = operation.sync(gateway.id, client=client, body=models.EmptyBody())
        assert isinstance(status, models.StatusResponse), status
        assert status.desired_state == wanted

    page = list_gateways.sync(client=client, factory_id=factory.id, limit=20, offset=0)
    assert isinstance(page, models.GatewayPage), page
    assert [row.id for row in page.data] == [gateway.id]
    assert (page.pagination.total, page.pagination.next_cursor) == (1, None)

    assert delete_gateway.sync_detailed(gateway.id, client=client).status_code == 204
    assert delete_factory.sync_detailed(factory.id, client=client).status_code == 204
    gone = get_status.sync(gateway.id, client=client)
    assert isinstance(gone, models.ErrorResponse), gone
    assert gone.error.code == "GATEWAY_NOT_FOUND"


if __name__ == "__main__":
    with AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2]) as millgate:
        walk(millgate)
    print("walked")
