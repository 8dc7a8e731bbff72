"""A browser without a screen: it keeps cookies, follows nothing, and fills in forms."""

import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.support.api_server import ApiServer, Reply

_CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class WebClient:
    """One session with one server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Reply:
        """A page; `headers` with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._call("GET", path, None, {"Accept": "text/html", **named})

    def post(
        self, path: str, values: Mapping[str, str], *, form_at: str | None = None, **headers: str
    ) -> Reply:
        """Sends a form as the page at `form_at` (the same path if not given) has it, CSRF token and all."""
        found = _CSRF.search(self.get(form_at or path).body.decode())
        token = {"csrf_token": found[1]} if found else {}
        return self.post_as_is(path, {**token, **values}, **headers)

    def post_as_is(self, path: str, values: Mapping[str, str], **headers: str) -> Reply:
        """Sends exactly these values."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        return self._call("POST", path, urlencode(values).encode(), {**kind, **named})

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self._server.call(method, path, body=body, headers=headers)
        for line in reply.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0" or morsel["expires"].startswith("Thu, 01 Jan 1970"):
                    del self.cookies[name]
        return reply
