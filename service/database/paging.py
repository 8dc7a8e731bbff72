"""Where a page of a list begins."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page begins: after `rows_skipped` rows, or behind the row with this name and id."""

    rows_skipped: int = 0
    after: tuple[str, UUID] | None = None
