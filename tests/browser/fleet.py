"""A small fleet in which every kind of gateway is there to be looked at."""

from dataclasses import dataclass

from devstack.postgres.server import free_port
from simulator import Site
from tests.support.full_stack import FullStack

CONNECTED = ("Press section", "Dryer 1", "Dryer 2", "Winder", "Kiln 1", "Raw mill")


@dataclass(frozen=True)
class Fleet:
    """Row ids, by name. All were in their state when it was made."""

    factories: dict[str, str]
    gateways: dict[str, str]
    site: Site


def make_fleet(stack: FullStack) -> Fleet:
    """Two factories; gateways connected, unreachable, with a wrong password, off and deleted."""
    factories = {
        name: stack.api.factory(name=name, timezone=zone)["id"]
        for name, zone in (("Paper mill", "Europe/Berlin"), ("Cement works", "Europe/Vienna"))
    }
    paper, cement = factories.values()
    site = stack.start_site(*(f"CTC-{number:04}" for number in range(1, len(CONNECTED) + 3)))
    gateways = {
        name: stack.register(paper if number < 4 else cement, gateway, name=name)
        for number, (name, gateway) in enumerate(zip(CONNECTED, site.gateways, strict=False))
    }
    *_, refusing, resting = site.gateways
    gateways["Packing line"] = stack.register(
        paper, refusing, name="Packing line", password="an old password"
    )
    gateways["Kiln 2"] = stack.api.gateway(
        cement, "CTC-0042", name="Kiln 2", url=f"ws://127.0.0.1:{free_port()}"
    )["id"]
    gateways["Crusher"] = stack.register(cement, resting, name="Crusher")
    stack.api.call("POST", f"/api/gateways/{gateways['Crusher']}/disconnect")
    gone = stack.api.gateway(cement, "CTC-0099", name="Old cooler", url=f"ws://127.0.0.1:{free_port()}")
    stack.api.call("DELETE", f"/api/gateways/{gone['id']}")
    states = {
        **dict.fromkeys(CONNECTED, "connected"),
        "Packing line": "auth_failed",
        "Kiln 2": "retrying",
        "Crusher": "disconnected",
    }
    for name, state in states.items():
        stack.wait_for_state(gateways[name], state)
    return Fleet(factories, gateways, site)
