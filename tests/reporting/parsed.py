"""A page taken apart: what a reader sees, and what a browser would act on."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """``text`` is what stands outside of scripts and styles; ``tags`` are (name, attributes) in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._text: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        {"script": self.scripts, "style": self.styles}.get(self._inside, self._text).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())  # a no-break space counts as a space here

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]

    def labels(self) -> list[str]:
        return [attributes["aria-label"] for _, attributes in self.tags if attributes.get("aria-label")]
