"""The settings, from the environment."""

import os
from dataclasses import dataclass, field

# The last of them turns off the notifying trigger on gateways.
SESSION = {"application_name": "fastapi", "statement_timeout": "4000", "millgate.defer_notify": "on"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once."""

    database_url: str = field(repr=False)
    encryption_key: str = field(repr=False)
    pool_max: int
    cors_origins: list[str]

    @classmethod
    def read(cls) -> "Settings":
        """From the environment."""
        origins = os.environ.get("CORS_ORIGINS", "")
        return cls(
            database_url=os.environ["DATABASE_URL"],
            encryption_key=os.environ["ENCRYPTION_KEY"],
            pool_max=int(os.environ.get("DB_POOL_MAX", "8")),
            cors_origins=[word.strip() for word in origins.split(",") if word.strip()],
        )
