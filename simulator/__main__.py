"""`python -m simulator`: gateways for a demonstration or a benchmark, driven by JSON lines."""

import argparse
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from simulator.commands import answer
from simulator.lines import ending_signals, lines_until_end
from simulator.messages import Json
from simulator.settings import Credentials, SiteSettings
from simulator.site import Site

STANDARD_INPUT = 0
GATEWAYS_LIMIT = 20_000


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Simulated CTC Connect Wireless gateways. Prints one JSON line when they listen, then "
        "takes commands as JSON lines on standard input, and ends when that ends.",
        epilog="The password comes from --password-file or, without it, from SIMULATOR_PASSWORD.",
    )
    parser.add_argument("--gateways", type=int, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 = any free one (default)")
    parser.add_argument("--email", default="plant@example.com", help="(default: plant@example.com)")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="file that holds the password")
    parser.add_argument("--prefix", default="AP-", help="of gateway ids: AP-0001 and so on (default: AP-)")
    parser.add_argument(
        "--notify-every-s", type=float, default=2.0, metavar="S", help="seconds; 0 = never (default: 2)"
    )
    parser.add_argument("--one-port-each", action="store_true", help="a port a gateway instead of a path")
    return parser.parse_args(words)


def _password(file: Path | None) -> str:
    password = os.environ.get("SIMULATOR_PASSWORD", "") if file is None else file.read_text("utf-8")
    password = password.removesuffix("\n")
    if not password:
        raise ValueError("no password: give --password-file or set SIMULATOR_PASSWORD")
    return password


def _start(options: argparse.Namespace) -> Site:
    if not 1 <= options.gateways <= GATEWAYS_LIMIT:
        raise ValueError(f"--gateways must be 1 to {GATEWAYS_LIMIT}")
    if not 0 <= options.port <= 65_535:
        raise ValueError("--port must be 0 to 65535")
    return Site.start(
        [f"{options.prefix}{number:04d}" for number in range(1, options.gateways + 1)],
        credentials=Credentials(options.email, _password(options.password_file)),
        host=options.host,
        port=options.port,
        settings=SiteSettings(notify_every_s=options.notify_every_s),
        one_port_each=options.one_port_each,
    )


def _print(line: dict[str, Json]) -> None:
    print(json.dumps(line), flush=True)


def _allow_many_sockets() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(words: Sequence[str] | None = None) -> int:
    """Run until standard input ends, or SIGTERM or SIGINT comes. Return the exit status."""
    options = _arguments(words)
    _allow_many_sockets()
    with ending_signals() as wake:
        try:
            site = _start(options)
        except (OSError, ValueError) as error:
            print(f"simulator: {error}", file=sys.stderr)
            return 2
        with site:
            try:
                gateways = [{"gateway_id": each.gateway_id, "url": each.url} for each in site.gateways]
                _print({"event": "ready", "gateways": gateways})
                for line in lines_until_end(STANDARD_INPUT, wake):
                    _print(answer(site, line))
            except BrokenPipeError:
                # The reader of the answers has gone: treat it as the end of input.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
