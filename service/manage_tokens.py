"""Manage API tokens: `python -m service.manage_tokens create | list | revoke`.

Needs DATABASE_URL and nothing else of the settings. A new token goes to standard output, alone and this once;
what is said about it goes to standard error.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime

from service.config import DatabaseConfig
from service.database.engine.first_connection import check_reachable
from service.database.engine.pool import Database
from service.database.security.tokens import TokenRepository
from service.environment import read_environment
from service.errors import (
    ConfigurationError,
    DatabaseError,
    TokenNameConflictError,
    TokenNotFoundError,
)
from service.logs import configure_logging
from service.tokens import Scope, TokenParts, hash_of, join_token, new_secret

MAX_NAME_CHARACTERS = 100


def main() -> int:
    """The exit status of the process."""
    asked = _parser().parse_args()
    configure_logging("error")
    try:
        config = DatabaseConfig.read(read_environment())
        check_reachable(config, "millgate-tokens")
        database = Database(config, "millgate-tokens")
        database.open()
        try:
            _run(TokenRepository(database), asked)
        finally:
            database.close()
    except TokenNameConflictError:
        return _fail(f"There is a token named {asked.name} already: revoke it first, or take another name.")
    except TokenNotFoundError:
        return _fail(f"There is no token named {asked.name}, or it was revoked before.")
    except (ConfigurationError, DatabaseError) as error:
        return _fail(f"Millgate's tokens cannot be reached: {error}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokens", description="API tokens of Millgate.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a token, and show it this once")
    create.add_argument("name", type=_name)
    create.add_argument("scope", choices=[scope.value for scope in Scope])
    commands.add_parser("list", help="all tokens, the revoked ones too; never the tokens themselves")
    revoke = commands.add_parser("revoke", help="end a token at once")
    revoke.add_argument("name", type=_name)
    return parser


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_NAME_CHARACTERS:
        raise argparse.ArgumentTypeError(
            f"a name of 1 to {MAX_NAME_CHARACTERS} printable characters is needed"
        )
    return text


def _run(tokens: TokenRepository, asked: argparse.Namespace) -> None:
    if asked.command == "create":
        secret = new_secret()
        row_id = tokens.create(asked.name, Scope(asked.scope), hash_of(secret))
        print(f"Token {asked.name} ({asked.scope}), shown this once:", file=sys.stderr)
        print(join_token(TokenParts(row_id, secret)).reveal())
    elif asked.command == "revoke":
        tokens.revoke(asked.name)
        print(f"Token {asked.name} is revoked.")
    else:
        _show([["name", "scope", "made on", "last used on", "revoked on"], *_table(tokens)])


def _table(tokens: TokenRepository) -> list[list[str]]:
    return [
        [row.name, row.scope, _day(row.created_at), _day(row.last_used_at), _day(row.revoked_at)]
        for row in tokens.find_all()
    ]


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d}"


def _show(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _fail(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
