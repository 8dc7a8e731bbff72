"""The URLs of the API, one module for each family of them."""

from service.api.blueprints import (
    connection_tests,
    docs,
    events,
    factories,
    gateway_bulk,
    gateway_history,
    gateway_import,
    gateway_status,
    gateways,
    health,
    metrics,
    session,
    status_summary,
    workers,
)

BLUEPRINTS = (
    health.blueprint,
    metrics.blueprint,
    factories.blueprint,
    gateways.blueprint,
    connection_tests.blueprint,
    gateway_import.blueprint,
    gateway_bulk.blueprint,
    events.blueprint,
    gateway_status.blueprint,
    gateway_history.blueprint,
    status_summary.blueprint,
    workers.blueprint,
    session.blueprint,
    docs.blueprint,
)
