"""Where a WebSocket URL leads: API and workers read it alike. Pure.

Sources: RFC 3986, RFC 6455 (section 3), RFC 6874.
"""

from urllib.parse import urlsplit

DEFAULT_PORTS = {"ws": 80, "wss": 443}


def host_and_port(url: str) -> tuple[str, int]:
    """The host of a URL that the API has accepted, in lower case: a name or an address, maybe with a zone."""
    parts = urlsplit(url)
    # RFC 6874 has the zone's sign escaped.
    host = (parts.hostname or "").replace("%25", "%")
    return host, parts.port or DEFAULT_PORTS[parts.scheme]
