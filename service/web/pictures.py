"""Pictures, drawn on the server as SVG: nothing in them is told by colour alone."""

from collections.abc import Mapping

from markupsafe import Markup, escape

from service.web.wording import STATES

_WIDTH, _HEIGHT = 200, 12


def state_bar(counts: Mapping[str, int], total: int) -> Markup:
    """The shares of the states as a bar, which says the same in words; `counts` may lack those that are 0."""
    if not total:
        return Markup("")
    shares = [(name, counts[name]) for name in STATES if counts.get(name)]
    words = ", ".join(f"{count:,} {STATES[name].word}" for name, count in shares)
    parts, x = [], 0.0
    for name, count in shares:
        width = _WIDTH * count / total
        parts.append(
            f'<rect class="fill-{STATES[name].tone}" x="{x:.2f}" width="{width:.2f}" height="{_HEIGHT}"/>'
        )
        x += width
    return Markup(  # noqa: S704 - numbers and words of ours
        f'<svg class="bar" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}"><title>{escape(words)}</title>{"".join(parts)}</svg>'
    )
