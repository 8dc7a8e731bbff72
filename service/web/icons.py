"""Bootstrap's icons, of which a page carries the few that it shows: all of them are a megabyte."""

import re
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from service.web.wording import OTHER_ICONS, STATES

_SPRITE = ("static", "bootstrap5", "icons", "bootstrap-icons.svg")
_ICON = Markup('<svg class="icon" aria-hidden="true" focusable="false"><use href="#icon-{}"/></svg>')
_SYMBOL = re.compile(r'<symbol[^>]*? id="([^"]+)".*?</symbol>', re.DOTALL)


@cache
def symbols() -> Markup:
    """Their drawings, for `<use href="#icon-…">` on the same page. Raises KeyError for one there is not."""
    text = files("flask_bootstrap").joinpath(*_SPRITE).read_text(encoding="utf-8")
    known = {found[1]: found[0] for found in _SYMBOL.finditer(text)}
    wanted = dict.fromkeys((*(state.icon for state in STATES.values()), *OTHER_ICONS))
    drawings = (known[name].replace(f'id="{name}"', f'id="icon-{name}"') for name in wanted)
    return Markup("".join(drawings))  # noqa: S704 - of the package's own file


def icon(name: str) -> Markup:
    """A picture beside a word, which says the same."""
    return _ICON.format(name)
