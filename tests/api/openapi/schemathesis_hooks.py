"""Hooks of schemathesis for this API, named by SCHEMATHESIS_HOOKS."""

import itertools
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import CheckContext, GenerationMode, HookContext, Response

from service.api.schemas.fields import TIMEZONES

# Conditions that JSON Schema cannot express: that a resource exists, that a list returned a cursor, that one
# time is before another, that a body belongs to the path's resource; or only in a way that helps no client:
# depth, size and content of metadata.
BEYOND_A_SCHEMA = {"unknown", "cursor", "offset_and_cursor", "range", "read_only"}
IMPORT = "/api/gateways/import"
_addresses = itertools.count(1)

# Texts of all required lengths, so that schemathesis need not search for them.
URLS = [
    *(
        "ws://a",
        "wss://gateway.example.com:8443/socket?plant=3",
        "ws://192.0.2.7:5000",
        "ws://[2001:db8::7]:1/",
    ),
    *(f"ws://gateway/{'x' * (length - len('ws://gateway/'))}" for length in (1998, 1999, 2000)),
]
schemathesis.openapi.format("websocket-url", strategies.sampled_from(URLS))
schemathesis.openapi.format("timezone", strategies.sampled_from(sorted(TIMEZONES)))
schemathesis.openapi.format(
    "date-time",
    strategies.integers(946_684_800, 2 * 10**9).map(
        lambda second: f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
    ),
)


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """Send it unchanged: the description has a file of lines as text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.hook
def before_call(context: HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Send each request from another address, so that failed authentications are not rate-limited."""
    number = next(_addresses)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.check
def what_fits_is_accepted(ctx: CheckContext, response: Response, case: schemathesis.Case[Any]) -> None:
    """Assert that a valid request is rejected only for conditions that no schema can express."""
    if case.operation.path == IMPORT:
        return  # the schema does not describe the lines of a file
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if response.status_code == 400:
        details = response.json()["error"]["details"]
        fits = [detail["type"] in BEYOND_A_SCHEMA or detail["field"] == "metadata" for detail in details]
        assert all(fits or [False]), response.text


@schemathesis.check
def the_error_is_described(ctx: CheckContext, response: Response, case: schemathesis.Case[Any]) -> None:
    """Assert that each error's code is among the description's examples for this operation and status."""
    if response.status_code < 400 or case.method.upper() != case.operation.method.upper():
        return
    described = case.operation.definition.raw["responses"][str(response.status_code)]
    examples = described["content"]["application/json"]["examples"]
    code = response.json()["error"]["code"]
    assert code in {name.partition(".")[0] for name in examples}, f"{code} is not described: {response.text}"
