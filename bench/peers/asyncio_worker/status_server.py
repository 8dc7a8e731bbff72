"""GET /summary and GET /status/ID: just enough HTTP for both, with keep-alive."""

import asyncio
import json

from bench.peers.asyncio_worker.manager import Manager


async def serve(manager: Manager, port: int) -> asyncio.Server:
    """Listens on loopback."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = find(manager, head.split(b" ", 2)[1].decode())
                content = json.dumps(body).encode()
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


def find(manager: Manager, path: str) -> tuple[str, object]:
    """Returns the status code with its phrase, and the body."""
    gateway = manager.gateways.get(path.removeprefix("/status/"))
    if gateway is not None:
        return "200 OK", gateway.status()
    return ("200 OK", manager.summary()) if path == "/summary" else ("404 Not Found", {})
