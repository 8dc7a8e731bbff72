"""WebSocket URLs (RFC 6455, section 3) in one normal form (RFC 3986, section 6.2). Pure.

The scheme and the host are in lower case, an international name is in its ASCII form, the default port is
left out. In the path and the query only percent-encoding is normalized.
"""

import ipaddress
import re
import socket
from urllib.parse import quote, unquote

import idna
from pydantic_core import PydanticCustomError

from service.api.validation.texts import has_hidden
from service.network.websocket_url import DEFAULT_PORTS

MAX_URL_CHARACTERS = 2000
MAX_HOST_CHARACTERS = 253
MAX_PORT = 65535

_SCHEME = re.compile(r"(wss?)://", re.IGNORECASE)
# RFC 3986, appendix A, without the fragment's sign.
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")
_AUTHORITY = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*\.?")


def normal_url(text: str) -> str:
    """The URL in its normal form. Raises PydanticCustomError, which repeats none of it."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise _wrong("must begin with ws:// or wss://")
    if "#" in text:
        raise _wrong("must not have a fragment")
    # Other letters may be written as they are: in a host by IDNA, elsewhere as UTF-8 (RFC 3987).
    in_ascii = text if text.isascii() else "".join(filter(str.isascii, text))
    if not _CHARACTERS.fullmatch(in_ascii) or has_hidden(text):
        raise _wrong("must be written with the characters of a URL only")
    name = scheme[1].lower()
    authority, mark, rest = _split(text[scheme.end() :])
    if "@" in authority:
        raise _wrong("must not contain a user or password")
    url = f"{name}://{_normal_authority(authority, DEFAULT_PORTS[name])}{mark}{_normal_escapes(rest)}"
    if len(url) > MAX_URL_CHARACTERS:
        raise _wrong(f"must have at most {MAX_URL_CHARACTERS} characters, in ASCII")
    return url


def _split(text: str) -> tuple[str, str, str]:
    """The authority, and the path and query behind it with their first sign."""
    mark = re.search(r"[/?]", text)
    return (text, "", "") if mark is None else (text[: mark.start()], mark[0], text[mark.end() :])


def _normal_authority(authority: str, default_port: int) -> str:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _bad_authority()
    host = _normal_name(parts["name"]) if parts["address"] is None else f"[{_normal_ipv6(parts['address'])}]"
    # RFC 3986, section 3.2.3: no digits behind the colon is the default.
    port = int(parts["port"] or default_port)
    if not 1 <= port <= MAX_PORT:
        raise _bad_authority()
    return host if port == default_port else f"{host}:{port}"


def _normal_ipv6(address: str) -> str:
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        raise _bad_authority() from None
    if parsed.scope_id is not None:
        raise _bad_authority()
    # As RFC 5952 has it, which str() does not on all versions of Python.
    return socket.inet_ntop(socket.AF_INET6, parsed.packed)


def _normal_name(name: str) -> str:
    try:
        name = unquote(name, errors="strict")
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    except UnicodeError:
        raise _bad_authority() from None
    if len(name) > MAX_HOST_CHARACTERS or not _NAME.fullmatch(name):
        raise _bad_authority()
    return name


def _normal_escapes(text: str) -> str:
    def written(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if _UNRESERVED.fullmatch(character) else escape[0].upper()

    in_ascii = text if text.isascii() else "".join(each if each.isascii() else quote(each) for each in text)
    return _ESCAPE.sub(written, in_ascii)


def _bad_authority() -> PydanticCustomError:
    return _wrong("must have a valid host and port")


def _wrong(problem: str) -> PydanticCustomError:
    return PydanticCustomError("websocket_url", "{problem}", {"problem": problem})
