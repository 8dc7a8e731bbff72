"""A browser without a screen: it keeps cookies, follows nothing, and fills in forms."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.support.api_server import ApiServer, Reply
from tests.support.html_page import Page

_FORM = "application/x-www-form-urlencoded"


class WebClient:
    """One session with one server. `headers` go along with every request."""

    def __init__(self, server: ApiServer, headers: Mapping[str, str] | None = None) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        self._headers = {"Accept": "text/html,*/*;q=0.8", **(headers or {})}

    def get(self, path: str, **headers: str) -> Page:
        """A page; `headers` with underscores for hyphens."""
        return Page.of(self.call("GET", path, headers=headers))

    def post(
        self, path: str, values: Mapping[str, object], *, form_at: str | None = None, **headers: str
    ) -> Page:
        """Sends a form as the page at `form_at` (the same path if not given) has it, CSRF token and all."""
        return self.submit(self.get(form_at or path), path, values, **headers)

    def submit(self, page: Page, path: str, values: Mapping[str, object], **headers: str) -> Page:
        """Sends a form of a page that was read before, with its CSRF token if it has one."""
        found = next(page.all("input", name="csrf_token"), None)
        token = {"csrf_token": found.attributes["value"]} if found else {}
        return self.post_as_is(path, {**token, **values}, **headers)

    def post_as_is(self, path: str, values: Mapping[str, object], **headers: str) -> Page:
        """Sends exactly these values; those that are lists once for each."""
        kind = {"Content_Type": _FORM, "Sec_Fetch_Site": "same-origin"}
        body = urlencode(values, doseq=True).encode()
        return Page.of(self.call("POST", path, body, {**kind, **headers}))

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any request, with the cookies, which it keeps up to date."""
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.server.call(method, path, body=body, headers={**self._headers, **named})
        for line in reply.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0" or morsel["expires"].startswith("Thu, 01 Jan 1970"):
                    del self.cookies[name]
        return reply
