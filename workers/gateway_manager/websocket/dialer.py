"""Opening a WebSocket to a gateway: resolve, connect, TLS, upgrade; each with its deadline and reasons."""

import base64
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from time import monotonic

from service.gateway_states import Phase, ReasonCode
from workers.gateway_manager.capacity import is_exhausted
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import failed
from workers.gateway_manager.websocket.address_policy import NetworkPolicy
from workers.gateway_manager.websocket.bounded_websocket import BoundedWebSocket
from workers.gateway_manager.websocket.handshake import (
    HandshakeError,
    check_headers,
    encode_request,
    is_interim,
)
from workers.gateway_manager.websocket.progress import NO_PROGRESS, AttemptProgress
from workers.gateway_manager.websocket.resolver import (
    Address,
    Resolver,
    ResolverBusyError,
    ResolveTimeoutError,
)
from workers.gateway_manager.websocket.stream import DeadlinePassedError, Stream, TooManyBytesError
from workers.gateway_manager.websocket.target import Target
from workers.gateway_manager.websocket.tls import certificate_problem, make_tls_context
from workers.gateway_manager.websocket.transport import Transport, describe
from workers.gateway_manager.websocket.waker import Waker

MAX_UPGRADE_RESPONSE_BYTES = 64 * 1024
_MAX_ADDRESSES_SHOWN = 3


class Dialer:
    """Opens WebSockets. Any thread may call `dial`, each with its own waker."""

    def __init__(
        self,
        resolver: Resolver,
        settings: SessionSettings,
        networks: NetworkPolicy | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Without `networks` only the default denials apply; without `tls`, the system's authorities."""
        self._resolver = resolver
        self._settings = settings
        self._networks = networks or NetworkPolicy()
        self._tls = tls or make_tls_context("")

    def dial(
        self,
        url: str,
        waker: Waker,
        interrupted: Callable[[], bool],
        progress: AttemptProgress = NO_PROGRESS,
        *,
        is_confined: bool = False,
    ) -> Transport:
        """Raises ConnectionFailedError, InterruptedWaitError; nothing is left open then.

        `is_confined`: only explicitly allowed networks may be connected to.
        """
        target = Target.of(url)
        progress.on_phase(Phase.RESOLVE)
        deadline = progress.clamp_to_deadline(monotonic() + self._settings.tcp_timeout_s)
        addresses = self._resolve(target, deadline, waker, interrupted)
        progress.on_phase(Phase.TCP)
        stream = _connect(self._only_allowed(addresses, is_confined), deadline, waker, interrupted)
        try:
            stream.deadline = progress.clamp_to_deadline(monotonic() + self._settings.upgrade_timeout_s)
            if target.is_tls:
                progress.on_phase(Phase.TLS)
                self._start_tls(stream, target)
            progress.on_phase(Phase.UPGRADE)
            _upgrade(stream, target)
        except BaseException:
            stream.close()
            raise
        web_socket = BoundedWebSocket(stream, self._settings.max_message_bytes)
        return Transport(stream, web_socket, self._settings)

    def _resolve(
        self, target: Target, deadline: float, waker: Waker, interrupted: Callable[[], bool]
    ) -> list[Address]:
        try:
            return self._resolver.resolve(target.host, target.port, deadline, waker, interrupted)
        except ResolveTimeoutError:
            message = "The name of the gateway's host was not resolved in time."
            raise failed(ReasonCode.DNS_FAILED, Phase.RESOLVE, message) from None
        except ResolverBusyError:
            message = "The host name was not looked up in time: too many other lookups are pending."
            raise failed(ReasonCode.CONNECT_FAILED, Phase.RESOLVE, message) from None
        except OSError as error:
            message = f"The name of the gateway's host does not resolve: {describe(error)}."
            raise failed(ReasonCode.DNS_FAILED, Phase.RESOLVE, message) from None

    def _only_allowed(self, addresses: list[Address], is_confined: bool) -> list[Address]:
        # With allowed networks, no other address passes the check below.
        if is_confined and not self._networks.allowed:
            message = (
                "The password was given for another address, and this worker has no"
                " GATEWAY_NETWORKS_ALLOWED. Set that, or send the password again."
            )
            raise failed(ReasonCode.PASSWORD_REQUIRED, Phase.TCP, message, retryable=False)
        allowed = [one for one in addresses if self._networks.allows(one[1][0])]
        if addresses and not allowed:
            denied = ", ".join(sorted({str(address[0]) for _, address in addresses})[:_MAX_ADDRESSES_SHOWN])
            message = f"This address is not allowed for gateways: {denied}."
            raise failed(ReasonCode.ADDRESS_DENIED, Phase.TCP, message, retryable=False)
        return allowed

    def _start_tls(self, stream: Stream, target: Target) -> None:
        try:
            stream.start_tls(self._tls, target.server_name)
        except DeadlinePassedError:
            raise failed(ReasonCode.CONNECT_TIMEOUT, Phase.TLS, "TLS was not set up in time.") from None
        except ssl.SSLCertVerificationError as error:
            message = f"The gateway's certificate is not accepted: {certificate_problem(error)}."
            raise failed(ReasonCode.TLS_FAILED, Phase.TLS, message, retryable=False) from None
        except OSError as error:
            message = f"TLS could not be set up: {getattr(error, 'reason', None) or describe(error)}."
            raise failed(ReasonCode.TLS_FAILED, Phase.TLS, message) from None


def _connect(
    addresses: list[Address], deadline: float, waker: Waker, interrupted: Callable[[], bool]
) -> Stream:
    """Tries one address after the other, each with an equal share of the remaining time."""
    last_failure = failed(ReasonCode.DNS_FAILED, Phase.RESOLVE, "The host has no address.")
    for position, (family, address) in enumerate(addresses):
        share_s = (deadline - monotonic()) / (len(addresses) - position)
        try:
            stream = Stream(socket.socket(family, socket.SOCK_STREAM), waker, interrupted)
        except OSError as error:
            if is_exhausted(error):
                message = f"The worker has no resources for another socket: {describe(error)}."
                raise failed(ReasonCode.NO_CAPACITY, Phase.TCP, message) from None
            # The system may lack this address family, but have the next one's.
            message = f"Cannot create a socket: {describe(error)}."
            last_failure = failed(ReasonCode.CONNECT_FAILED, Phase.TCP, message)
            continue
        stream.deadline = monotonic() + share_s
        try:
            stream.connect(address)
        except DeadlinePassedError:
            last_failure = failed(
                ReasonCode.CONNECT_TIMEOUT, Phase.TCP, "The gateway's host does not answer."
            )
        except ConnectionRefusedError:
            message = "The gateway's port is closed."
            last_failure = failed(ReasonCode.CONNECTION_REFUSED, Phase.TCP, message)
        except OSError as error:
            message = f"Cannot reach the gateway's host: {describe(error)}."
            last_failure = failed(ReasonCode.CONNECT_FAILED, Phase.TCP, message)
        except BaseException:
            stream.close()
            raise
        else:
            return stream
        stream.close()
    raise last_failure


def _upgrade(stream: Stream, target: Target) -> None:
    # Only the gateway itself may see a login: no redirects, no proxies, no cookies.
    try:
        _request_upgrade(stream, target)
    except DeadlinePassedError:
        message = "The gateway did not answer the upgrade in time."
        raise failed(ReasonCode.CONNECT_TIMEOUT, Phase.UPGRADE, message) from None
    except TooManyBytesError:
        message = f"The gateway's response to the upgrade has over {MAX_UPGRADE_RESPONSE_BYTES} bytes."
        raise failed(ReasonCode.UPGRADE_REJECTED, Phase.UPGRADE, message) from None
    except HandshakeError as refusal:
        raise failed(ReasonCode.UPGRADE_REJECTED, Phase.UPGRADE, str(refusal)) from None
    except EOFError:
        message = "The connection ended during the upgrade."
        raise failed(ReasonCode.CONNECTION_LOST, Phase.UPGRADE, message) from None
    except OSError as error:
        message = f"The connection was lost during the upgrade: {describe(error)}."
        raise failed(ReasonCode.CONNECTION_LOST, Phase.UPGRADE, message) from None


def _request_upgrade(stream: Stream, target: Target) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    request = encode_request(target, key)
    while request:
        request = request[stream.send(request) :]
    lines = _receive_lines(stream)
    # Check the status first: a rejection may be followed by an endless page.
    while is_interim(next(lines)):
        _take_headers(lines)
    check_headers(_take_headers(lines), key)


def _receive_lines(stream: Stream) -> Iterator[bytes]:
    """The lines of the response without their ends, up to the limit."""
    left = MAX_UPGRADE_RESPONSE_BYTES
    while True:
        line = stream.recv_line(left)
        left -= len(line)
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _take_headers(lines: Iterator[bytes]) -> list[bytes]:
    return list(iter(lambda: next(lines), b""))
