"""A request's body on its way from the client."""

from typing import Any

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestBody:
    """Wraps gunicorn's reader of a body: asks a client that waits to be asked, once somebody reads.

    Where nobody does, or reading fails, it is not known where the next request begins: the connection ends.
    """

    def __init__(self, request: Any, client: Any) -> None:
        """`request` is gunicorn's; nobody has read its body yet."""
        self._request, self._client, self._reader = request, client, request.body.reader
        self._closes = request.must_close
        self._is_awaited = request._expected_100_continue  # noqa: SLF001 - gunicorn has no other way
        if self._is_awaited:
            request._expected_100_continue, request.must_close = False, True  # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, size: int) -> bytes:
        """Raises what gunicorn's reader does, and OSError."""
        if self._is_awaited:
            self._is_awaited, self._request.must_close = False, self._closes
            self._client.send(CONTINUE)
        self._client.is_in_body = True
        try:
            data: bytes = self._reader.read(size)
        except Exception:
            self._request.must_close = True
            raise
        finally:
            self._client.is_in_body = False
        self._client.discard()
        return data
