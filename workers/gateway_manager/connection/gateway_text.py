"""What may be shown of a gateway's text: ordinary words from a fixed list, and nothing else. Pure.

A gateway that rejects a login may quote it in any encoding, and a filter for encodings would miss one. No
word of this list reveals it, unless it is part of the password or the e-mail address as they are.
"""

import re
from collections.abc import Iterable

MAX_WORDS = 30
TELLING_LETTERS = 4
"""A gap in place of a word this long would reveal what the password contains."""
GAP = "…"

_WORDS = """
    access account accounts active administrator after again all allowed already an and another any are
    as at attempt attempts authentication authorization authorized available bad banned been before
    blocked busy but by can cannot changes client clients command connect connected connection
    connections contact correct could credential credentials database denied device disabled does email
    empty error exceeded exist exists expired failed failure few field find first for forbidden format
    found from full gateway has have in inactive incorrect insufficient internal invalid is it later
    license limit limited lock locked log logged login logins logon logout many match matches maximum
    may memory message minutes missing more must no not number of off offline on once one only open
    operation or other out parameter password passwords permission permissions permitted please possible
    reached refused registered rejected request requests required reset retry rights role seconds server
    service session sessions slots some space still subscribe subscribed subscription subscriptions
    success system table temporarily than that the there this time timeout to too try unable
    unauthorized unavailable unknown unsupported until update use used user username users valid
    verification verified wait was while with without wrong yet you your
"""
WORDS = frozenset(_WORDS.split())

_AROUND = ".,;:!?()[]\"'"
_AFTER = ".,;:!?"
_NUMBERS = re.compile(r"\b(code |status |kind )([0-9]+)")
"""Numbers that the gateway chose and our messages quote."""
_JOINTS = re.compile(r"[_/-]")


def known_words(text: str, email: str, password: str) -> str:
    """The words of the list in this text; of all else only that there was something. Empty if there are none.

    Also empty if a word of it is in the password: a reader who knows this gateway's usual text would read
    the word from the gap.
    """
    hidden = [email.casefold(), password.casefold()]
    shown: list[str] = []
    is_any_known = False
    for token in text.split(maxsplit=MAX_WORDS)[:MAX_WORDS]:
        core = token.strip(_AROUND)
        words = _JOINTS.split(core)
        if any(_is_telling(word.lower(), hidden[1]) for word in words):
            return ""
        is_known = all(_is_harmless(word, hidden) for word in words)
        is_any_known |= is_known
        shown.append((core if is_known else GAP) + (token[-1] if token[-1] in _AFTER else ""))
    return " ".join(shown).rstrip(_AFTER) if is_any_known else ""


def _is_telling(word: str, password: str) -> bool:
    return len(word) >= TELLING_LETTERS and word in WORDS and word in password


def without_numbers(message: str, secrets: Iterable[str]) -> str:
    """Our own sentence, without a number of the gateway's that is part of a secret, or has one in it."""

    def shown(match: re.Match[str]) -> str:
        number = match[2]
        is_secret = any(number in secret or secret in number for secret in secrets if secret)
        return match[1] + (GAP if is_secret else number)

    return _NUMBERS.sub(shown, message)


def _is_harmless(word: str, hidden: Iterable[str]) -> bool:
    lower = word.lower()
    is_listed = lower in WORDS and word in (lower, lower.capitalize(), lower.upper())
    return is_listed and not any(lower in secret for secret in hidden)
