"""The target of a gateway's URL. Pure.

Sources: RFC 3986, RFC 6455 (section 3), RFC 9110 (section 7.2).
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from service.network.websocket_url import DEFAULT_PORTS, host_and_port


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that the API has accepted, taken apart."""

    host: str
    """The host to resolve: a name, or an address, which may have a zone."""
    port: int
    is_tls: bool
    resource: str
    """The path and query of the request."""

    @classmethod
    def of(cls, url: str) -> "Target":
        """Takes a URL apart."""
        parts = urlsplit(url)
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(*host_and_port(url), parts.scheme == "wss", resource)

    @property
    def server_name(self) -> str:
        """The name for TLS: for the certificate and for server name indication (RFC 6066, section 3)."""
        return self._host_without_zone.removesuffix(".")

    @property
    def host_header(self) -> str:
        """The authority, without the default port of the URL's scheme."""
        host = self._host_without_zone
        name = f"[{host}]" if ":" in host else host
        default_port = DEFAULT_PORTS["wss" if self.is_tls else "ws"]
        return name if self.port == default_port else f"{name}:{self.port}"

    @property
    def _host_without_zone(self) -> str:
        # A zone is meaningful on this machine only: RFC 6874, section 4.
        return self.host.partition("%")[0]
