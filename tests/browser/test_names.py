"""Names show exactly as they are, and are only ever text."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from playwright.async_api import Page, expect

from bench.people import Person
from tests.polling import eventually
from tests.serving import Server

from .conftest import Visit
from .visitor import keys, row

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = {"GRACE": 3}

# The last comes behind all others by code point; by UTF-16 units, as JavaScript compares, before one.
USERNAMES = ["-.+@_", "007", "ANN", "Ünï-ćødé", "a+b@c", "עברית", "नमन", "漢字", "\ufa0e", "\U00010437"]

MARKUP = [
    '<img src="x" onerror="alert(1)">',
    "<script>alert(1)</script>",
    "</span></li></ul></main>",
    "<!-- -->",
    "&lt;b&gt; &amp;amp; &#60;",
    """"double" 'single' `back`""",
    "{{ 7 }} {% now 'Y' %} ${7} %s %(name)s",
    "O’Neill & “Söhne” 👩‍🚀",
    "x" * 150,
]


async def test_any_legal_username_shows_exactly_and_in_its_place(visit: Visit, lobby: Server) -> None:
    ann, plain = await visit("ann"), await visit("plain", java_script_enabled=False)
    await ann.join()
    assert [normalize("NFKC", name) for name in USERNAMES] == USERNAMES
    for name in USERNAMES:
        async with Person(lobby.url, name) as person:
            await person.sign_up()
    await plain.sign_up()
    expected = sorted([*USERNAMES, ann.name, plain.name])
    await eventually(lambda: has_keys(ann.page, expected))
    assert await keys(plain.page) == expected


async def has_keys(page: Page, expected: list[str]) -> bool:
    return await keys(page) == expected


async def test_names_that_hold_markup_show_exactly_and_run_nothing(visit: Visit, lobby: Server) -> None:
    ann, plain = await visit("ann"), await visit("plain", java_script_enabled=False)
    await ann.join()
    names = {f"markup{number}": name for number, name in enumerate(MARKUP)}
    for username, name in names.items():
        async with Person(lobby.url, username) as person:
            await person.sign_up(name)
    await expect(row(ann.page, list(names)[-1])).to_be_visible()
    await all_exact(ann.page, names)
    # And as the server writes them, without a script that would heal it.
    await plain.sign_up()
    await all_exact(plain.page, names)


async def all_exact(page: Page, names: dict[str, str]) -> None:
    """Each name stands there, and nothing was made of any but text."""
    for username, name in names.items():
        shown = row(page, username).locator(".name")
        assert await shown.evaluate("(name) => [name.textContent, name.children.length]") == [name, 0]
        await expect(shown).to_be_visible()
    elements = "(list) => [...new Set([...list.querySelectorAll('*')].map((e) => e.localName))].sort()"
    assert await page.locator("#users").evaluate(elements) == ["li", "span", "time"]


async def test_the_person_with_such_a_name_sees_it_too(visit: Visit) -> None:
    ann = await visit("Ünï-ćødé@")
    await ann.sign_up(MARKUP[0])
    await expect(row(ann.page, ann.name).locator(".name")).to_have_text(MARKUP[0])
    await expect(ann.page.get_by_role("banner")).to_contain_text(f"Logged in as {ann.name}")
