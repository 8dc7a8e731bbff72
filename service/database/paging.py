"""Where a page of a list begins, and what a search is looked for with."""

import re
from dataclasses import dataclass
from uuid import UUID

_SPECIAL = re.compile(r"([\\%_])")


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page begins: after `rows_skipped` rows, or behind the row with this key and id.

    The key is what the list is ordered by, as PostgreSQL reads it.
    """

    rows_skipped: int = 0
    after: tuple[str, UUID] | None = None

    def parameters(self) -> dict[str, object]:
        """For a statement that takes both."""
        key, row_id = self.after or (None, None)
        return {"after_key": key, "after_id": row_id, "offset": self.rows_skipped}


def contains(text: str | None) -> str | None:
    """The pattern of LIKE for what contains this text, character by character."""
    return None if text is None else "%" + _SPECIAL.sub(r"\\\1", text) + "%"
