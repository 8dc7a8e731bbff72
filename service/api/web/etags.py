"""What a request makes depend on the state of a resource: If-Match and If-None-Match (RFC 9110, section 13).

Our tags are `"VERSION-DIGEST"`: the row's version, and a digest of the body. Reads compare it whole.
Writes compare the version: the body also tells what was observed when it was read (`last_seen_at`), which
no write changes, and which should stand in no writer's way.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from flask import Response, request

from service.api.web.validation_errors import detail, invalid
from service.errors import PreconditionFailedError

IF_MATCH = "If-Match"
IF_NONE_MATCH = "If-None-Match"
_DIGEST_BYTES = 12
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}[ \t]*(?:,(?:[ \t]*{_TAG})?[ \t]*)*")
_ONE_TAG = re.compile(r'(W/)?"([^"]*)"')
_VERSIONED_ETAG = re.compile(r"([1-9][0-9]{0,18})-[0-9a-f]+")


class HasVersion(Protocol):
    """A row that counts its changes."""

    @property
    def version(self) -> int:
        """Raised by every change."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An entity tag as a client sent it."""

    opaque: str
    is_weak: bool


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of a condition: any state that is there at all (`*`), or one of these."""

    tags: tuple[Tag, ...]
    is_any: bool = False

    def matches_etag(self, opaque: str, *, strongly: bool) -> bool:
        """Whether one of them is this tag; a weak one never is where the comparison is strong."""
        return self.is_any or any(
            tag.opaque == opaque and not (strongly and tag.is_weak) for tag in self.tags
        )

    def matches_version(self, version: int, *, strongly: bool) -> bool:
        """Whether one of them is a tag of this version."""
        return self.is_any or any(
            _version_in(tag.opaque) == version and not (strongly and tag.is_weak) for tag in self.tags
        )


Precondition = Callable[[HasVersion], None]
"""Raises PreconditionFailedError for a row that is not in the state that the request is meant for."""


def parse_tags(name: str, value: str | None) -> Tags | None:
    """The tags in a header; None without it. Raises InvalidRequestError for what is no list of tags."""
    if value is None:
        return None
    if value.strip(" \t") == "*":
        return Tags((), is_any=True)
    if not _TAGS.fullmatch(value):
        raise invalid([detail(name, 'must be * or entity tags, such as "1-2f"', "entity_tag")])
    return Tags(tuple(Tag(opaque, bool(weak)) for weak, opaque in _ONE_TAG.findall(value)))


def write_precondition() -> Precondition | None:
    """What this request, a write, is to be checked against; None if it makes no condition.

    Raises InvalidRequestError. Ask before anything is done.
    """
    wanted, unwanted = _conditions()
    if wanted is None and unwanted is None:
        return None

    def check(row: HasVersion) -> None:
        if wanted is not None and not wanted.matches_version(row.version, strongly=True):
            raise PreconditionFailedError
        if unwanted is not None and unwanted.matches_version(row.version, strongly=False):
            raise PreconditionFailedError

    return check


def with_tag(response: Response, row: HasVersion | None = None) -> Response:
    """The response with the ETag of its body; of a list there is no version."""
    _set_tag(response, row)
    return response


def conditional_response(response: Response, row: HasVersion | None = None) -> Response:
    """The response to a read with its ETag, or 304 without a body where the client has it already.

    Raises PreconditionFailedError, and InvalidRequestError for a condition that cannot be read.
    """
    wanted, unwanted = _conditions()
    tag = _set_tag(response, row)
    if wanted is not None and not wanted.matches_etag(tag, strongly=True):
        raise PreconditionFailedError
    if unwanted is not None and unwanted.matches_etag(tag, strongly=False):
        return _not_modified(response)
    return response


def _set_tag(response: Response, row: HasVersion | None) -> str:
    digest = blake2b(response.get_data(), digest_size=_DIGEST_BYTES).hexdigest()
    tag = digest if row is None else f"{row.version}-{digest}"
    response.headers["ETag"] = f'"{tag}"'
    return tag


def _conditions() -> tuple[Tags | None, Tags | None]:
    """What the state should be, and what it should not be."""
    sent = request.environ
    return (
        parse_tags(IF_MATCH, sent.get("HTTP_IF_MATCH")),
        parse_tags(IF_NONE_MATCH, sent.get("HTTP_IF_NONE_MATCH")),
    )


def _not_modified(response: Response) -> Response:
    answer = Response(status=304, headers={"ETag": response.headers["ETag"]})
    del answer.headers["Content-Type"]
    return answer


def _version_in(opaque: str) -> int | None:
    ours = _VERSIONED_ETAG.fullmatch(opaque)
    return int(ours[1]) if ours else None
