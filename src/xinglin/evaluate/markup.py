"""HTML elements in which every plain string is escaped."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """An HTML or SVG element; children that are not Markup are escaped.

    `class_` becomes `class`, other underscores become hyphens.
    """
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    opened = "".join(f' {key}="{html.escape(value)}"' for key, value in named)
    inside = join(*children)
    void = name in {"img", "meta", "br", "hr"}
    return Markup(f"<{name}{opened}>" if void else f"<{name}{opened}>{inside}</{name}>")


def join(*children: str) -> Markup:
    """Several pieces after one another."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(child) for child in children))


def both(chinese: str, english: str) -> Markup:
    """A Chinese text with its English twin in small print."""
    return join(chinese, " ", element("span", english, class_="en", lang="en"))


def table(head: tuple[str, ...], rows: list[Markup], *, caption: str = "") -> Markup:
    """A table in a container of its own that scrolls sideways; `rows` are `tr` elements."""
    titles = element("tr", *(element("th", title, scope="col") for title in head))
    about = element("caption", caption) if caption else Markup("")
    body = element("table", about, element("thead", titles), element("tbody", *rows))
    return element("div", body, class_="scroll", tabindex="0", role="region")


def row(name: str, *cells: str, **attributes: str) -> Markup:
    """A table row whose first cell is its header."""
    return element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells), **attributes)
