"""Reading a page as a browser does: its elements, with their attributes and texts."""

from __future__ import annotations

from html.parser import HTMLParser

from django.test import Client

VOID = frozenset({"br", "img", "input", "link", "meta"})


class Element:
    """An element: its attributes, all the text within it, and the elements within it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element] = []
        self._text = ""

    def __getitem__(self, attribute: str) -> str | None:
        return self.attributes.get(attribute)

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.attributes

    @property
    def text(self) -> str:
        """The text, without the white space around it."""
        return self._text.strip()

    @property
    def name(self) -> str:
        """The tag with the classes, as a selector: ``li.user.mine``."""
        return ".".join([self.tag, *(self["class"] or "").split()])

    def all(self, name: str) -> list[Element]:
        """Return the elements within it with this tag and these classes: ``li``, ``li.user``, ``.user``."""
        tag, *classes = name.split(".")
        found = []
        for child in self.children:
            if tag in ("", child.tag) and set(classes) <= set((child["class"] or "").split()):
                found.append(child)
            found += child.all(name)
        return found

    def one(self, name: str) -> Element:
        """Return the only such element."""
        (found,) = self.all(name)
        return found

    def with_id(self, id: str) -> Element:
        """Return the only element with this id."""
        (found,) = [element for element in self.all("") if element["id"] == id]
        return found


class _Parser(HTMLParser):
    def __init__(self, root: Element) -> None:
        super().__init__()
        self._open = [root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element._text += data


def parse(html: str) -> Element:
    """Return a document whose children are the page's outermost elements."""
    root = Element("", {})
    parser = _Parser(root)
    parser.feed(html)
    parser.close()
    assert parser._open == [root], f"never closed: {[element.tag for element in parser._open[1:]]}"
    return root


def get(client: Client, address: str = "/") -> Element:
    response = client.get(address)
    assert response.status_code == 200
    return parse(response.content.decode())


def rows(page: Element) -> dict[str, Element]:
    """Return the rows on a page, by user name, in their order."""
    return {row.one(".key").text: row for row in page.with_id("users").all("li.user")}
