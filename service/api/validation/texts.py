"""Texts in one normal form: what looks the same is the same. Pure.

The migration that brought older rows into this form has the same characters, in SQL; a test compares the two.
"""

import re
import unicodedata

from pydantic_core import PydanticCustomError

Ranges = tuple[tuple[int, int], ...]

_MAX_UTF16_UNIT = 0xFFFF
_SPACE = (0x20, 0x20)
# Other white space, and control characters.
_BLANK: Ranges = (
    (0x00, 0x1F), (0x7F, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
# What shows nothing, yet comes along when a text is copied. Joiners and variation selectors are not among
# them: at the end of a name they belong to the letter before.
_STRAY: Ranges = (
    (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x2064), (0x2066, 0x206F), (0xFEFF, 0xFEFF),
)  # fmt: skip
# Unicode's Default_Ignorable_Code_Point, and a few that show nothing either.
_INVISIBLE: Ranges = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip


def _class(*ranges: tuple[int, int]) -> str:
    """The inside of a character class, for Python and for ECMA-262."""
    return "".join(f"{_escaped(first)}-{_escaped(last)}" for first, last in ranges)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= _MAX_UTF16_UNIT else chr(code)


_AROUND = _class(_SPACE, *_BLANK, *_STRAY)
_HIDDEN = _class(*_BLANK, *_INVISIBLE)
# Without u, ECMA-262 has no characters beyond these.
_HIDDEN_IN_SCHEMA = _class(*(each for each in (*_BLANK, *_INVISIBLE) if each[1] <= _MAX_UTF16_UNIT))
_MARGINS = re.compile(f"^[{_AROUND}]+|[{_AROUND}]+$")
_HIDDEN_CHARACTER = re.compile(f"[{_HIDDEN}]")
# What the two below ask for, as JSON Schema says it.
TEXT_PATTERN = f"[^{_AROUND}]"
_SHOWN = f"[^{_HIDDEN_IN_SCHEMA} ]"
IDENTIFIER_PATTERN = f"^[{_AROUND}]*{_SHOWN}([^{_HIDDEN_IN_SCHEMA}]*{_SHOWN})?[{_AROUND}]*$"


def check_text(text: str) -> str:
    """PostgreSQL stores no NUL character."""
    if "\x00" in text:
        raise PydanticCustomError("nul_character", "must not contain a NUL character")
    return text


def composed(text: str) -> str:
    """In Unicode's normal form C, so that an é is one whether it was typed as one character or as two."""
    return unicodedata.normalize("NFC", check_text(text))


def trimmed(text: object) -> object:
    """A text without white space or stray characters around it; what is no text, as it is.

    Raises PydanticCustomError for one with a NUL character, which would be taken for white space.
    """
    return _MARGINS.sub("", check_text(text)) if isinstance(text, str) else text


def normal_text(text: str, max_length: int) -> str:
    """Composed, and without white space or stray characters around it. Raises PydanticCustomError."""
    text = _MARGINS.sub("", composed(text))
    if not text:
        raise PydanticCustomError("blank", "must not be blank")
    # A few characters become longer.
    if len(text) > max_length:
        raise PydanticCustomError("string_too_long", f"must have at most {max_length} characters")
    return text


def normal_identifier(text: str, max_length: int) -> str:
    """A normal text in which every character can be seen. Raises PydanticCustomError."""
    text = normal_text(text, max_length)
    if has_hidden(text):
        raise PydanticCustomError(
            "hidden_character",
            "must not contain control characters, invisible characters or white space other than spaces",
        )
    return text


def has_hidden(text: str) -> bool:
    """Whether it has a character that cannot be seen, other than a space."""
    return _HIDDEN_CHARACTER.search(text) is not None
