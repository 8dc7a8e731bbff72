"""Entity tags: `"VERSION-DIGEST"` of one gateway, `"DIGEST"` of a page."""

from hashlib import blake2b

from fastapi import Request, Response
from pydantic import BaseModel

from bench.peers.fastapi.errors import precondition_failed
from bench.peers.fastapi.repository import Check


def tagged(request: Request, body: BaseModel, version: int | None = None, status: int = 200) -> Response:
    """Returns the response with its ETag, or 304 if the client has this version."""
    content = body.model_dump_json().encode()
    digest = blake2b(content, digest_size=12).hexdigest()
    tag = f'"{digest}"' if version is None else f'"{version}-{digest}"'
    if request.method == "GET":
        known = request.headers.get("if-none-match")
        if known is not None and {"*", tag} & set(tags_in(known)):
            return Response(status_code=304, headers={"ETag": tag})
    return Response(content, status, {"ETag": tag}, media_type="application/json")


def write_check(request: Request) -> Check | None:
    """Returns the check for If-Match; None without that header."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        return None

    def check(version: int) -> None:
        if not any(tag == "*" or tag.startswith(f'"{version}-') for tag in tags_in(wanted)):
            raise precondition_failed()

    return check


def tags_in(header: str) -> list[str]:
    """The tags of a header."""
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
