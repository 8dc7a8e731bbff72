"""Routes of gateways over any `Gateways`."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from uuid_utils.compat import uuid7

from bench.peers.fastapi.cursors import Cursor, encode_cursor
from bench.peers.fastapi.errors import gateway_not_found
from bench.peers.fastapi.repository import Gateways
from bench.peers.fastapi.schemas import (
    GatewayCreate,
    GatewayListQuery,
    GatewayPage,
    GatewayResponse,
    GatewayUpdate,
    NoQuery,
    Pagination,
)
from bench.peers.fastapi.sealing import Sealer
from bench.peers.fastapi.tags import tagged, write_check


def create_router(gateways: Callable[..., Any], sealer: Sealer) -> APIRouter:
    """`gateways` is a dependency that gives a `Gateways`."""
    router = APIRouter(prefix="/api/gateways")
    Repository = Annotated[Gateways, Depends(gateways)]

    @router.get("/{id}", response_model=GatewayResponse)
    async def find_by_id(
        request: Request, id: UUID, _query: Annotated[NoQuery, Query()], repository: Repository
    ) -> Response:
        found = await repository.find_by_id(id)
        if found is None:
            raise gateway_not_found()
        return tagged(request, found.gateway, found.version)

    @router.get("", response_model=GatewayPage)
    async def find_all(
        request: Request, query: Annotated[GatewayListQuery, Query()], repository: Repository
    ) -> Response:
        found, total = await repository.find_page(query)
        data = found[: query.limit]
        has_next = len(found) > query.limit
        pagination = Pagination(
            total=total,
            limit=query.limit,
            offset=query.offset or 0 if query.place is None else None,
            has_next=has_next,
            has_prev=query.place is not None or bool(query.offset),
            next_cursor=encode_cursor(Cursor(data[-1].name, data[-1].id)) if has_next else None,
        )
        return tagged(request, GatewayPage(data=data, pagination=pagination))

    @router.post("", status_code=201, response_model=GatewayResponse)
    async def create(
        request: Request, _query: Annotated[NoQuery, Query()], body: GatewayCreate, repository: Repository
    ) -> Response:
        row_id = uuid7()
        values = {
            **body.model_dump(exclude={"password"}),
            "sealed_password": sealer.seal(body.password.get_secret_value(), row_id),
        }
        made = await repository.create(row_id, values)
        response = tagged(request, made.gateway, made.version, 201)
        response.headers["Location"] = f"/api/gateways/{row_id}"
        return response

    @router.api_route("/{id}", methods=["PUT", "PATCH"], response_model=GatewayResponse)
    async def update(
        request: Request,
        id: UUID,
        _query: Annotated[NoQuery, Query()],
        body: GatewayUpdate,
        repository: Repository,
    ) -> Response:
        changes = body.changes()
        if "password" in body.model_fields_set:
            changes["sealed_password"] = sealer.seal(body.password.get_secret_value(), id)
        changed = await repository.update(id, changes, write_check(request))
        return tagged(request, changed.gateway, changed.version)

    return router
