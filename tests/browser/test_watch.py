"""The watch over pages notices what it is there for, also behind a strict content security policy."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser

from tests.support.browser import WatchedContext, horizontal_overflow, serious_findings
from tests.support.full_stack import FullStack

POLICY = "default-src 'none'; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
ELSEWHERE = "http://127.0.0.1:9/picture.png"
BODIES = {
    "/fine": "<p>Fine",
    "/console": "<script src='/error.js'></script>",
    "/throws": "<script src='/throws.js'></script>",
    "/style": "<p style='color: red'>red",
    "/html": "<script src='/html.js'></script>",
    "/elsewhere": f"<img src='{ELSEWHERE}' alt=''>",
    "/unnamed": "<button></button>",
    "/wide": "<pre>" + "wide " * 100,
}
SCRIPTS = {
    "/error.js": "console.error('broken')",
    "/throws.js": "throw new Error('thrown')",
    "/html.js": "document.body.innerHTML = '<b>x</b>'",
}


class Pages(BaseHTTPRequestHandler):
    """Serves BODIES and SCRIPTS; everything else is missing."""

    def do_GET(self) -> None:
        body = BODIES.get(self.path)
        text = SCRIPTS.get(self.path, "") if body is None else self._document(body)
        self.send_response(200 if text else 404)
        text = text or "Not found"
        self.send_header("Content-Type", "text/javascript" if body is None else "text/html")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Not into the report."""

    def _document(self, body: str) -> str:
        return f"<!doctype html><html lang=en><title>Page</title><body><main><h1>Page</h1>{body}</main>"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_without_faults_passes(browser: Browser, origin: str) -> None:
    with WatchedContext(browser, origin) as context:
        page = context.open("/fine")
        assert (serious_findings(page), horizontal_overflow(page)) == ([], 0)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/console", "console error: broken"),
        ("/throws", "uncaught: "),
        ("/style", "policy violation: style-src"),
        ("/html", "policy violation: require-trusted-types-for"),
        ("/elsewhere", f"request to another origin: {ELSEWHERE}"),
        ("/missing", "status of 404"),
    ],
)
def test_a_fault_fails_the_test(browser: Browser, origin: str, path: str, fault: str) -> None:
    watched = WatchedContext(browser, origin)
    with pytest.raises(AssertionError, match=fault), watched as context:
        context.open(path)


def test_a_fault_that_a_test_provokes_may_be_allowed(browser: Browser, origin: str) -> None:
    with WatchedContext(browser, origin) as context:
        context.allow("status of 404")
        context.open("/missing")


def test_axe_and_the_width_are_looked_at(browser: Browser, origin: str) -> None:
    with WatchedContext(browser, origin, size=(360, 740)) as context:
        assert "button-name" in serious_findings(context.open("/unnamed"))[0]
        assert horizontal_overflow(context.open("/wide")) > 0


def test_the_stack_connects_a_gateway(stack: FullStack) -> None:
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0])
    assert stack.wait_for_state(row_id, "connected")["state"] == "connected"
