"""Reads HTML strictly: every tag is closed, in order."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from typing import Self

from tests.support.api_server import Reply

HTML = "text/html; charset=utf-8"
_VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})


@dataclass
class Element:
    """A tag with its attributes, and the text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class _Reader(HTMLParser):
    """Raises AssertionError for tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> without a start"
        assert self._open.pop().tag == tag, f"</{tag}> out of order"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


class Page(Reply):
    """A response, which has to be HTML where its content is asked for."""

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """The same response."""
        return cls(reply.status, reply.headers, reply.body)

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.headers["Location"]

    @cached_property
    def html(self) -> str:
        """The body, unpacked."""
        assert self.headers["Content-Type"] == HTML
        packed = self.headers["Content-Encoding"] == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()

    @cached_property
    def elements(self) -> list[Element]:
        """All tags, in order."""
        reader = _Reader()
        reader.feed(self.html)
        reader.close()
        return reader.elements

    def all(self, tag: str, **attributes: str) -> Iterator[Element]:
        """Those with this tag and these attributes (`_` for `-`)."""
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        for element in self.elements:
            if element.tag == tag and wanted.items() <= element.attributes.items():
                yield element

    def one(self, tag: str, **attributes: str) -> Element:
        """The one there has to be."""
        [element] = self.all(tag, **attributes)
        return element

    @cached_property
    def text(self) -> str:
        """What is read of it, with single spaces."""
        body = next((each for each in self.elements if each.tag == "body"), None)
        text = body.text if body else re.sub(r"<[^>]*>", " ", self.html)
        return re.sub(r"\s+", " ", text)
