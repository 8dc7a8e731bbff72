"""The gateway server: gateways on one loopback port, driven by JSON lines."""

import argparse
import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from time import monotonic
from typing import Any

from bench.worker.gateway_server.connection import GatewaySession
from bench.worker.gateway_server.gateways import Gateways
from bench.worker.gateway_server.load import push
from bench.worker.gateway_server.messages import temperature_frames, waveform_frames

Answer = dict[str, Any]
_BACKLOG = 4096


class CommandHandler:
    """Answers each command, a JSON line such as `{"do": "count"}`, with a line."""

    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways
        self._frames = {"temperatures": temperature_frames, "waveforms": waveform_frames}
        self._commands: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "count": self._count,
            "cut": self._cut,
            "back": self._take_back,
            "push": self._push,
        }

    async def handle(self, line: bytes) -> Answer:
        """Raises KeyError and ValueError for an unknown or malformed command."""
        order = json.loads(line)
        return await self._commands[order.pop("do")](order)

    async def _count(self, _: Answer) -> Answer:
        """Return how many gateways have a session, and the counters since the start."""
        seconds = os.times()
        return {
            "subscribed": len(self._gateways.subscribed),
            "cpu_s": seconds.user + seconds.system,
            **asdict(self._gateways.counters),
        }

    async def _cut(self, order: Answer) -> Answer:
        """Reset the sessions of these gateways; return when."""
        sessions = [self._gateways.subscribed[name] for name in order["gateways"]]
        at = monotonic()
        for session in sessions:
            session.cut()
        return {"at": at}

    async def _take_back(self, _: Answer) -> Answer:
        """Return the gateways subscribed to since the last call."""
        return {"back": self._gateways.take_back()}

    async def _push(self, order: Answer) -> Answer:
        """Send loads in parallel: `{"loads": [{"what": "temperatures", "per_s": 5000, "for_s": 3}]}`."""
        loads = [
            push(self._gateways, self._frames[load["what"]](), load["per_s"], load["for_s"])
            for load in order["loads"]
        ]
        return {"pushed": [asdict(each) for each in await asyncio.gather(*loads)]}


async def serve(options: argparse.Namespace, password: str) -> None:
    """Listens, prints that it does, and handles commands until standard input ends."""
    names = [f"{options.prefix}{number:05d}" for number in range(1, options.gateways + 1)]
    gateways = Gateways(
        names,
        options.email,
        password,
        answers_subscription=not options.silent,
        hanging=options.hanging,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: GatewaySession(gateways), "127.0.0.1", options.port, backlog=_BACKLOG
    )
    port = server.sockets[0].getsockname()[1]
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    handler = CommandHandler(gateways)
    print(json.dumps({"port": port}), flush=True)
    while line := await orders.readline():
        print(json.dumps(await handler.handle(line)), flush=True)


def main() -> None:
    """Reads the command line; the password comes from GATEWAYS_PASSWORD."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker.gateway_server", description=__doc__)
    parser.add_argument("--gateways", type=int, required=True, metavar="N")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--prefix", default="AP-")
    parser.add_argument("--email", required=True)
    parser.add_argument("--hanging", type=int, default=0, metavar="N", help="the first N never answer")
    parser.add_argument("--silent", action="store_true", help="do not answer the subscription")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(options, os.environ["GATEWAYS_PASSWORD"]))


if __name__ == "__main__":
    main()
