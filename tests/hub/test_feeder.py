"""Live searches of who is there."""

from __future__ import annotations

import pytest

from whosonline.core import searches

from .conftest import Tab, World

SEARCH = '{"type":"watch","room":"site","search":"an","limit":2}'


@pytest.fixture(autouse=True)
def _small_meals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "FEED", 1)


async def searching(world: World, *names: str) -> Tab:
    hub = await world.node(grace=0)
    for name in names:
        await world.tab(hub, name)
    tab = await world.tab(hub, "bob")
    await tab.say(SEARCH)
    return tab


def pages(tab: Tab) -> list[dict]:
    return [message["page"] for message in tab.take("update") if "page" in message]


async def test_the_full_state_comes_when_it_is_found_and_then_what_changes(world: World):
    tab = await searching(world, "ann", "cy", "andy")
    (page,) = pages(tab)
    assert (page["search"], page["reset"], page["order"]) == ("an", True, ["andy", "ann"])
    await world.tab(tab.hub, "anais")
    await world.tab(tab.hub, "dora")
    (page,) = pages(tab)
    assert (page["order"], page["drop"]) == (["anais", "andy"], ["ann"])


async def test_who_joins_a_search_that_is_found_already_is_told_at_once(world: World):
    tab = await searching(world, "ann")
    other = await world.tab(tab.hub, "eve")
    await other.say(SEARCH)
    (page,) = pages(other)
    assert page["order"] == ["ann"]


async def test_a_page_without_a_search_follows_one_with(world: World):
    tab = await searching(world, "ann")
    tab.take()
    await tab.say('{"type":"watch","room":"site"}')
    (page,) = pages(tab)
    assert "search" not in page
    assert page["order"] == ["ann", "bob"]
    assert not len(tab.hub._views.searches)


async def test_a_page_whose_people_leave_is_filled_again(world: World):
    tab = await searching(world)
    tabs = [await world.tab(tab.hub, f"an{number}") for number in range(9)]
    tab.take()
    for gone in tabs[:7]:
        gone.close()
    await world.clock.advance(1)
    await world.clock.advance(1)
    assert pages(tab)[-1]["order"] == ["an7", "an8"]


async def test_whoever_goes_while_a_search_looks_does_no_harm(world: World):
    tab = await searching(world, "ann")
    await tab.say('{"type":"watch","room":"site","search":"zz"}')
    tab.close()
    await world.clock.advance(1)
    assert not len(tab.hub._views.searches)


async def test_a_search_that_fails_is_not_the_last(world: World, monkeypatch, caplog):
    tab = await searching(world, "ann")
    tab.take()
    with monkeypatch.context() as patched:
        patched.setattr(searches.SearchWindow, "feed", lambda *_: 1 / 0)
        await tab.say('{"type":"watch","room":"site","search":"b"}')
    assert "could not be fed" in caplog.text
    await tab.say('{"type":"watch","room":"site","search":"bo"}')
    assert pages(tab)[-1]["order"] == ["bob"]
