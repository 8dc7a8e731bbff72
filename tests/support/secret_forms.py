"""Encodings in which a text may be quoted."""

import base64
import html
import json
from urllib.parse import quote, quote_plus


def forms(secret: str) -> dict[str, str]:
    """Return the text in each encoding, by its name."""
    raw = secret.encode()
    as_json = json.dumps(secret)[1:-1]
    unescaped = json.dumps(secret, ensure_ascii=False)[1:-1]
    written = {
        "plain": secret,
        "json": as_json,
        "json-unescaped": unescaped,
        "json-twice": json.dumps(as_json)[1:-1],
        "json-unescaped-twice": json.dumps(unescaped, ensure_ascii=False)[1:-1],
        "json-every-character": "".join(f"\\u{ord(character):04x}" for character in secret),
        "percent": quote(secret, safe=""),
        "percent-plus": quote_plus(secret),
        "percent-every-byte": "".join(f"%{byte:02X}" for byte in raw),
        "hex": raw.hex(),
        "hex-spaced": raw.hex(" "),
        "hex-utf-16": secret.encode("utf-16-be").hex(),
        "decimal": " ".join(str(byte) for byte in raw),
        "html": html.escape(secret),
        "html-decimal": "".join(f"&#{ord(character)};" for character in secret),
        "html-hex": "".join(f"&#x{ord(character):X};" for character in secret),
        "upper": secret.upper(),
        "lower": secret.lower(),
        "swapped": secret.swapcase(),
        "repr": ascii(secret)[1:-1],
        "reversed": secret[::-1],
        "spaced": " ".join(secret),
        "mis-decoded": raw.decode("latin-1"),
    }
    for shift in range(3):
        shifted = b"x" * shift + raw
        written[f"base64-{shift}"] = base64.b64encode(shifted).decode()
        written[f"base64url-{shift}"] = base64.urlsafe_b64encode(shifted).decode().rstrip("=")
    return written


def forms_in(text: str, secret: str) -> list[str]:
    """Return the encodings found in a text. The outer characters of base64 depend on their neighbours."""
    return [
        name
        for name, form in forms(secret).items()
        if (form[4:-4] if name.startswith("base64") else form) in text
    ]
