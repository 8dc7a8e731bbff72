"""The application without its database."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from bench.peers.fastapi.envelope import Envelope, configure_logging
from bench.peers.fastapi.errors import handle_errors
from bench.peers.fastapi.routes import create_router
from bench.peers.fastapi.sealing import Sealer
from bench.peers.fastapi.settings import Settings


def create_app(
    settings: Settings, lifespan: Callable[[FastAPI], Any], gateways: Callable[..., Any]
) -> FastAPI:
    """`lifespan` opens the database, `gateways` is the dependency that asks it."""
    configure_logging()
    app = FastAPI(title="Gateways", lifespan=lifespan)
    handle_errors(app)
    if settings.cors_origins:
        exposed = ["ETag", "Location", "X-Request-ID"]
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, expose_headers=exposed)
    app.add_middleware(Envelope)

    @app.get("/api/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(create_router(gateways, Sealer(settings.encryption_key)))
    return app
