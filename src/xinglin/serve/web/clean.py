"""An allow-list for HTML that a model's words were turned into: what is not on the list does not reach the browser."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from urllib.parse import urlsplit

_TAGS = frozenset(
    ["p", "br", "hr", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "h3", "h4", "h5", "table"]
).union(["thead", "tbody", "tr", "th", "td"])
_RENAMED = {"h1": "h3", "h2": "h3", "h6": "h5", "b": "strong", "i": "em"}
_VOID = frozenset({"br", "hr"})
_SILENT = frozenset({"script", "style", "svg", "math", "iframe", "object", "template", "noscript", "title", "textarea"})
"""Elements whose content is dropped with them; of all other unknown elements the text stays."""


def clean(html: str) -> str:
    """The HTML with only plain text structure and https links; images, styles, scripts and attributes are gone.

    The output is well formed: every tag it opens it closes. Links open apart, name no referrer, and show their host.
    """
    parser = _Cleaner()
    parser.feed(html)
    parser.close()
    return parser.finish()


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.open: list[str] = []
        self.silent = 0
        self.hosts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self.silent += 1
            return
        name = _RENAMED.get(tag, tag)
        if self.silent:
            return
        if name == "a":
            self._open_link(dict(attrs).get("href") or "")
        elif name in _VOID:
            self.out.append(f"<{name}>")
        elif name in _TAGS:
            self.out.append(f"<{name}>")
            self.open.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # An "empty" silent element such as <svg/> hides nothing behind it.
        if tag not in _SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self.silent = max(self.silent - 1, 0)
            return
        name = _RENAMED.get(tag, tag)
        if self.silent or name not in self.open:
            return
        while self.open:
            last = self.open.pop()
            self._close(last)
            if last == name:
                return

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.out.append(escape(data))

    def finish(self) -> str:
        while self.open:
            self._close(self.open.pop())
        return "".join(self.out)

    def _open_link(self, href: str) -> None:
        try:
            parts = urlsplit(href.strip())
        except ValueError:
            return
        if parts.scheme != "https" or not parts.hostname or "a" in self.open:
            return
        self.out.append(f'<a href="{escape(href.strip())}" target="_blank" rel="noopener noreferrer nofollow">')
        self.open.append("a")
        self.hosts.append(parts.hostname)

    def _close(self, name: str) -> None:
        self.out.append(f"</{name}>")
        if name == "a":
            self.out.append(f" ({escape(self.hosts.pop())})")
