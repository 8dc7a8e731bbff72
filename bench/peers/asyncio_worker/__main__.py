"""`python -m bench.peers.asyncio_worker GATEWAYS.json PORT`: the manager, and its status over HTTP."""

import asyncio
import json
import logging
import resource
import sys
from pathlib import Path

from bench.peers.asyncio_worker.manager import Gateway, Manager
from bench.peers.asyncio_worker.status_server import serve


async def main() -> None:
    gateways = [Gateway(**each) for each in json.loads(Path(sys.argv[1]).read_text())]
    manager = Manager(gateways)
    async with await serve(manager, int(sys.argv[2])):
        await asyncio.gather(manager.run(), asyncio.Event().wait())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main())
