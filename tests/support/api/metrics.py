"""Reads the API's metrics."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.api_server import ApiServer

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(api: ApiServer, **headers: str) -> Series:
    """Return every series by its name and labels."""
    reply = api.call("GET", "/metrics", headers=headers)
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
