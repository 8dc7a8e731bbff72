"""The API with two more routes: one crashes holding a password, one violates a check constraint."""

from uuid import UUID, uuid4

from flask import Flask, Response, request

from service import app as api
from service.api.openapi.operation import Operation
from service.api.services.context import services
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import GatewayRepository
from service.database.desired.values import NewFactory, NewGateway


def create_app() -> Flask:
    """Return the application that gunicorn serves."""
    app = api.create_app()
    app.add_url_rule("/api/crash", view_func=crash, methods=["POST"])
    app.add_url_rule("/api/refused-row", view_func=write_refused_row, methods=["POST"])
    return app


@Operation("crash", "A bug", {}, include_in_schema=False)
def crash() -> Response:
    """A bug."""
    password = request.get_json()["password"]
    return Response(str(len(password) / 0))


@Operation("write_refused_row", "A bug", {}, include_in_schema=False)
def write_refused_row() -> Response:
    """Write a row that only a bug could write."""
    factory = FactoryRepository(services().database).create(NewFactory("x"))
    write(factory.id)
    return Response()


def write(factory_id: UUID) -> None:
    """Violate a check constraint."""
    gateway = NewGateway(uuid4(), factory_id, "g", "n", "http://x", "e", b"s" * 40)
    GatewayRepository(services().database).create(gateway)
