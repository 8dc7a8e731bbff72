"""The metrics of all processes over HTTP."""

from flask import Blueprint, Response, current_app
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.api.middleware.metrics import metrics_of, record_pool_stats
from service.api.openapi.operation import Operation
from service.errors import MetricsUnavailableError

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@Operation(
    "get_metrics",
    "Get metrics for Prometheus",
    {200: {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}}},
    error_responses=(MetricsUnavailableError,),
)
def show() -> Response:
    """The numbers."""
    record_pool_stats(current_app)
    return Response(metrics_of(current_app).text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
