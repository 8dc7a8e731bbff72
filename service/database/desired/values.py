"""What the API writes: new rows and changes to rows, field by field as the statements take them.

Tests hold the fields against the statements' parameters.
"""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewFactory:
    """A row to be; without an organization it belongs to the first one."""

    name: str
    organization_id: UUID | None = None
    location: str | None = None
    timezone: str = "UTC"
    metadata: str = "{}"
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryChanges:
    """What is None stays as it is; what may be null itself changes if it is set."""

    organization_id: UUID | None = None
    name: str | None = None
    set_location: bool = False
    location: str | None = None
    timezone: str | None = None
    metadata: str | None = None
    """JSON."""


@dataclass(frozen=True, slots=True)
class NewGateway:
    """A row to be, its password sealed for its id."""

    id: UUID
    factory_id: UUID
    device_id: str
    name: str
    url: str
    email: str
    sealed_password: bytes = field(repr=False)
    model: str | None = None
    firmware_version: str | None = None
    metadata: str = "{}"
    """JSON."""

    @property
    def characters(self) -> int:
        """Of its texts that may be long."""
        return len(self.metadata) + len(self.url) + len(self.email) + len(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayChanges:
    """What is None stays as it is; what may be null itself changes if it is set."""

    factory_id: UUID | None = None
    device_id: str | None = None
    name: str | None = None
    set_model: bool = False
    model: str | None = None
    set_firmware_version: bool = False
    firmware_version: str | None = None
    url: str | None = None
    email: str | None = None
    sealed_password: bytes | None = field(default=None, repr=False)
    metadata: str | None = None
    """JSON."""
