"""What happens, as it happens: transitions of all gateways, by long poll or as a stream."""

from functools import partial
from time import monotonic

from flask import Blueprint, Response, request
from pydantic_core import PydanticCustomError

from service.api.middleware.authentication import token_in_hand
from service.api.openapi.operation import Operation
from service.api.schemas.cursors import (
    EventCursor,
    decode_event_cursor,
    not_of_this_stream,
    scope_of,
    stream_digest,
)
from service.api.schemas.events import EventStreamQuery, EventStreamResponse, StreamedEventResponse
from service.api.services.context import services
from service.api.services.event_feed import Slot
from service.api.services.event_stream import EventStream, Followed
from service.api.web.event_stream import StreamedResponse, wants_event_stream
from service.api.web.responses import respond
from service.api.web.validation_errors import detail, invalid
from service.database.engine.deadline import REQUEST_LIMIT_S, set_deadline
from service.database.security.tokens import TokenRepository
from service.database.views.event_stream import (
    EventStreamRepository,
    StreamPart,
    StreamPlace,
    StreamPosition,
)
from service.errors import (
    EventCursorExpiredError,
    InvalidRequestError,
    ShuttingDownError,
    TooManyWaitingError,
    UnauthorizedError,
)

blueprint = Blueprint("events", __name__, url_prefix="/api/events")

# How long it is looked for what is asked for among what is not.
_SEARCH_LIMIT_S = 2.0


@blueprint.get("")
@Operation(
    "follow_events",
    "Follow the transitions of all gateways, or of a factory",
    {200: EventStreamResponse},
    error_responses=(EventCursorExpiredError, TooManyWaitingError, ShuttingDownError),
    query=EventStreamQuery,
    is_also_stream=True,
    description=(
        "Returns transitions after the cursor `after`, oldest first; waits up to `wait` seconds for one. "
        "Poll with the `cursor` from each response: no event is skipped or repeated. Without `after`, "
        "returns a start cursor at once. When the service stops, waiting requests return early. "
        "503: too many requests are waiting; retry after `Retry-After` seconds. 410: later events were "
        "deleted; start again without a cursor. "
        "With `Accept: text/event-stream` the same transitions come as server-sent events for as long as the "
        "client listens: `transition` (as in `data`), each with its cursor as `id`; `heartbeat` at least "
        "every 5 seconds (`as_of`, `version`, `live_workers`, `is_held_up`): no transition up to `as_of` was "
        "missed, unless `is_held_up`; `unavailable` (`since`): the database does not answer; `reset`: the "
        "cursor has expired, read states again; `unauthorized`: the token was revoked, and the stream ends. "
        "`wait` and `limit` do not matter to a stream."
    ),
)
def find(query: EventStreamQuery) -> Response:
    """Events after the cursor, waiting for one if asked to; without a cursor, a start cursor."""
    scope = scope_of("event stream", {"factory_id": query.factory_id})
    if wants_event_stream():
        return _stream(query, scope)
    if query.after is not None and query.after.scope != scope:
        raise _refusal("after", not_of_this_stream())
    repository = EventStreamRepository(services().database)
    with services().event_feed.reading(REQUEST_LIMIT_S):
        stream = repository.find_stream()
        if query.after is None:
            part = StreamPart([], repository.find_newest(), has_more=False)
    digest = stream_digest(stream)
    if query.after is not None:
        if query.after.stream != digest:
            raise EventCursorExpiredError
        with services().event_feed.slot() as slot:
            part = _follow(StreamPlace(stream, query.after.position), query, slot)
            if slot.is_taken:
                _check_token_again()
    data = [StreamedEventResponse.of_stream(event) for event in part.events]
    cursor = EventCursor(scope, digest, part.end).encode()
    return respond(EventStreamResponse(data=data, cursor=cursor, has_more=part.has_more))


def _stream(query: EventStreamQuery, scope: bytes) -> Response:
    """What happens from the cursor on, or from now on. Raises TooManyWaitingError, ShuttingDownError."""
    cursor = _last_event_id() or query.after
    if cursor is not None and cursor.scope != scope:
        raise _refusal("after", not_of_this_stream())
    if request.method == "HEAD":
        return StreamedResponse(())
    slot = Slot()
    services().event_feed.take(slot)
    try:
        followed = Followed(scope, query.factory_id, token_in_hand())
        stream = EventStream(
            services().database, services().event_feed, services().heartbeats, slot, followed
        )
    except BaseException:
        services().event_feed.release(slot)
        raise
    if cursor is not None:
        stream.start_after(cursor)
    return StreamedResponse(stream)


def _last_event_id() -> EventCursor | None:
    """The cursor that a client reconnects with. It is later than the one in the URL, which stays the same."""
    text = request.headers.get("Last-Event-ID")
    try:
        return decode_event_cursor(text) if text else None
    except PydanticCustomError as error:
        raise _refusal("Last-Event-ID", error) from None


def _refusal(name: str, error: PydanticCustomError) -> InvalidRequestError:
    return invalid([detail(name, error.message(), error.type)])


def _follow(place: StreamPlace, query: EventStreamQuery, slot: Slot) -> StreamPart:
    """The first events after a position, or none when the time is up.

    Raises EventCursorExpiredError, TooManyWaitingError, ShuttingDownError.
    """
    stream, watch = EventStreamRepository(services().database), services().event_feed
    deadline = monotonic() + query.wait
    searched_until = monotonic() + _SEARCH_LIMIT_S
    while True:
        set_deadline(REQUEST_LIMIT_S)
        what = (place, query.factory_id, query.limit)
        part = watch.read_once(what, partial(stream.read, *what), REQUEST_LIMIT_S)
        place = StreamPlace(place.stream, part.end)
        if part.events:
            return part
        if part.has_more:
            if monotonic() > searched_until:
                return part
        elif not _is_worth_waiting(slot, part.end, deadline):
            return part
        else:
            searched_until = monotonic() + _SEARCH_LIMIT_S


def _check_token_again() -> None:
    """It may have been revoked while its request waited. Raises UnauthorizedError, TooManyWaitingError.

    Those that woke together with the same token share one read.
    """
    token_id = token_in_hand()
    if token_id is None:
        return
    set_deadline(REQUEST_LIMIT_S)
    read = partial(TokenRepository(services().database).find_live, token_id)
    if services().event_feed.read_once(token_id, read, REQUEST_LIMIT_S) is None:
        raise UnauthorizedError(is_given=True)


def _is_worth_waiting(slot: Slot, position: StreamPosition, deadline: float) -> bool:
    """Wait and return whether an event came."""
    left_s = deadline - monotonic()
    return left_s > 0 and services().event_feed.wait_after(slot, position, left_s)
