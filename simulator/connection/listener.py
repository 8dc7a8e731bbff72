"""One listening port that can be closed and opened again. Used in the site's event loop only."""

import asyncio
import logging
import socket
import ssl
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve

from simulator.connection.connection import SimulatedConnection
from simulator.connection.handshake import Upgrade
from simulator.connection.session import Session
from simulator.counters import Handshakes
from simulator.gateway_state import GatewayState

BACKLOG = 4096
MAX_MESSAGE_BYTES = 1024 * 1024
TLS_TIMEOUT_S = 3.0
END_TIMEOUT_S = 5.0
_TURNS_UNTIL_MADE = 5

# A separate logger at level WARNING: the library's debug lines show frames, and so passwords.
_log = logging.getLogger("simulator.websockets")
_log.setLevel(logging.WARNING)


class Listener:
    """A port on which one gateway listens, or many by path."""

    def __init__(
        self,
        gateways: dict[str, GatewayState],
        sole: GatewayState | None,
        ssl_context: ssl.SSLContext | None,
        close_timeout_s: float,
        handshakes: Handshakes,
    ) -> None:
        """`gateways`: by path. `sole`: the one that gets every connection, with any path."""
        self._handshakes = handshakes
        self._sole = sole
        self._upgrade = Upgrade(
            gateways.get if sole is None else lambda _path: sole, counts_attempts=sole is None
        )
        self._ssl_context = ssl_context
        self._close_timeout_s = close_timeout_s
        self._connections: set[SimulatedConnection] = set()
        self._has_ended = False
        self._server: Server | None = None
        self._former_servers: list[Server] = []
        self._bound: socket.socket | None = None
        self._address: tuple[int, Any] = (0, None)

    @property
    def port(self) -> int:
        """The port, once `bind` has run."""
        return int(self._address[1][1])

    def bind(self, host: str, port: int) -> None:
        """Take a port (0 = any free one) without listening yet. Raises OSError."""
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._bound = _bound_socket(family, address)
        self._address = (family, self._bound.getsockname())

    async def start(self) -> None:
        """Listen on the port; no effect while it listens."""
        if self._server is not None:
            return
        bound = self._bound or _bound_socket(*self._address)
        self._bound = None
        # The event loop accepts these options only with TLS.
        tls: dict[str, Any] = {}
        if self._ssl_context is not None:
            tls = {"ssl": self._ssl_context, "ssl_handshake_timeout": TLS_TIMEOUT_S}
        self._server = await serve(
            _answer,
            sock=bound,
            backlog=BACKLOG,
            create_connection=cast("type[ServerConnection]", self._create_connection),
            process_request=self._upgrade.process_request,
            process_response=self._upgrade.process_response,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=self._close_timeout_s,
            max_size=MAX_MESSAGE_BYTES,
            server_header=None,
            logger=_log,
            **tls,
        )

    async def stop(self) -> None:
        """Refuse connections from now on; open ones stay. No effect while it does not listen."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close(close_connections=False)
        while server.is_serving():
            await asyncio.sleep(0)
        self._former_servers.append(server)
        # Bound but not listening: connections are refused, and the port stays reserved.
        self._bound = _bound_socket(*self._address)

    async def end(self) -> None:
        """Stop listening, abort all connections, and wait until they are gone."""
        self._has_ended = True
        await self.stop()
        if self._bound is not None:
            self._bound.close()
        for connection in tuple(self._connections):
            connection.reset()
        async with asyncio.timeout(END_TIMEOUT_S):
            # Connections accepted but not made yet are made and reset in the next loop iteration.
            for _ in range(_TURNS_UNTIL_MADE):
                await asyncio.sleep(0)
            while self._connections:
                await asyncio.sleep(0)
            for server in self._former_servers:
                await server.wait_closed()

    def _create_connection(self, *arguments: Any, **options: Any) -> SimulatedConnection:
        connection = SimulatedConnection(*arguments, **options)
        connection.on_made = self._made
        connection.on_lost = self._lost
        return connection

    def _made(self, connection: SimulatedConnection) -> None:
        self._connections.add(connection)
        if self._has_ended:
            connection.reset()
            return
        self._handshakes.began(connection)
        if self._sole is not None:
            self._sole.counters.connection_seen()

    def _lost(self, connection: SimulatedConnection) -> None:
        self._connections.discard(connection)
        self._handshakes.ended(connection)
        if connection.gateway_state is not None:
            connection.gateway_state.connections.discard(connection)


def _bound_socket(family: int, address: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


async def _answer(connection: ServerConnection) -> None:
    """Keep one WebSocket open; its messages are delivered to the session."""
    if isinstance(connection, SimulatedConnection) and connection.gateway_state is not None:
        Session(connection.gateway_state, connection).start()
        await connection.wait_closed()
