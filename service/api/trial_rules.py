"""Where a stored password may go. Pure."""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"ws": 80, "wss": 443}


def may_get_stored_password(stored_url: str, url: str) -> bool:
    """Whether `url` leads to the host and port that the password is stored for, and no less safely.

    Else whoever may try a gateway out could have its password sent to a machine of theirs. Both are URLs that
    `check_url` accepted.
    """
    stored, asked = urlsplit(stored_url), urlsplit(url)
    is_weaker = stored.scheme == "wss" and asked.scheme != "wss"
    return not is_weaker and _place(stored_url) == _place(url)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS[parts.scheme]
