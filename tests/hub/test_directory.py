"""The list of all users, live."""

from __future__ import annotations

import pytest

from whosonline.core.entries import Profile
from whosonline.core.wire import Range, Watch
from whosonline.hub.directories import DirectoryLoader
from whosonline.testing.clock import settle

from .conftest import Tab, World

WATCH = '{"type":"watch","directory":{"after":null,"until":"m"}}'


def relist(world: World, user: str, key: str | None, was: str | None) -> None:
    world.sync.relist(user, Profile(key, key.title()) if key else None, was)


async def looking(world: World) -> Tab:
    world.people.listed = {"1": Profile("ann", "Ann"), "2": Profile("zoe", "Zoe")}
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say(WATCH)
    await world.clock.advance(1)
    return tab


async def test_the_part_that_is_watched_comes_in_full_first(world: World):
    tab = await looking(world)
    assert tab.take() == [
        {
            "type": "directory",
            "reset": True,
            "after": None,
            "until": "m",
            "added": [{"id": "1", "name": "Ann", "key": "ann"}],
        }
    ]


async def test_who_signs_up_is_added_and_who_is_elsewhere_in_the_list_is_not(world: World):
    tab = await looking(world)
    tab.take()
    relist(world, "3", "cy", None)
    relist(world, "4", "yan", None)
    await world.clock.advance(1)
    assert tab.take() == [{"type": "directory", "added": [{"id": "3", "name": "Cy", "key": "cy"}]}]


async def test_who_is_renamed_within_the_part_out_of_it_or_into_it_is_shown_so(world: World):
    tab = await looking(world)
    tab.take()
    relist(world, "1", "abe", "ann")
    await world.clock.advance(1)
    assert tab.take() == [{"type": "directory", "added": [{"id": "1", "name": "Abe", "key": "abe"}]}]
    relist(world, "1", "xan", "abe")
    await world.clock.advance(1)
    assert tab.take() == [{"type": "directory", "removed": ["1"]}]
    relist(world, "2", "bea", "zoe")
    await world.clock.advance(1)
    assert tab.take() == [{"type": "directory", "added": [{"id": "2", "name": "Bea", "key": "bea"}]}]


async def test_who_is_removed_disappears(world: World):
    tab = await looking(world)
    tab.take()
    relist(world, "1", None, "ann")
    relist(world, "2", None, "zoe")
    await world.clock.advance(1)
    assert tab.take() == [{"type": "directory", "removed": ["1"]}]


async def test_a_part_is_read_once_for_all_who_look_at_it(world: World):
    tab = await looking(world)
    other = await world.tab(tab.hub, "eve")
    await other.say(WATCH)
    assert len(other.take("directory")) == 1
    assert world.people.queries.count("directory") == 1


async def test_who_comes_after_a_change_is_told_of_it(world: World):
    tab = await looking(world)
    relist(world, "3", "cy", None)
    await world.clock.advance(1)
    other = await world.tab(tab.hub, "eve")
    await other.say(WATCH)
    assert [row["id"] for row in other.take("directory")[0]["added"]] == ["1", "3"]


async def test_who_comes_back_within_a_minute_is_told_at_once_what_is_so_without_a_look_into_the_database(
    world: World,
):
    tab = await looking(world)
    tab.close()
    relist(world, "3", "cy", None)
    await world.clock.advance(DirectoryLoader.KEEP - 10)
    back = await world.tab(tab.hub, "bob")
    back.connection.returns = True
    await back.say(WATCH)
    assert [row["id"] for row in back.take("directory")[0]["added"]] == ["1", "3"]
    assert world.people.queries.count("directory") == 1


@pytest.mark.parametrize("before", [[], [WATCH, '{"type":"watch","directory":{"after":"m"}}']])
async def test_a_new_page_and_who_looks_further_are_told_what_the_database_holds_by_now(
    world: World, before: list[str]
):
    tab = await looking(world)
    tab.close()
    world.people.listed["3"] = Profile("cy", "Cy")  # by SQL: the log says nothing of it
    page = await world.tab(tab.hub, "bob")
    page.connection.returns = bool(before)
    for text in before:
        await page.say(text)
    await settle()
    page.take()
    await page.say(WATCH)
    await settle()
    told = page.take("directory")
    assert [row["id"] for row in told[0]["added"]] == ["1"]
    assert [row["id"] for row in told[1]["added"]] == ["1", "3"]


async def test_who_comes_back_later_has_it_read_again(world: World):
    tab = await looking(world)
    tab.close()
    await world.clock.advance(2 * DirectoryLoader.KEEP + 1)
    await (await world.tab(tab.hub, "bob")).say(WATCH)
    await settle()
    assert world.people.queries.count("directory") == 2


async def test_a_part_that_is_kept_while_entries_of_the_log_are_missed_is_read_again(world: World):
    tab = await looking(world)
    tab.close()
    tab.hub._directories.reload()
    back = await world.tab(tab.hub, "bob")
    await back.say(WATCH)
    await settle()
    assert world.people.queries.count("directory") == 2
    assert len(back.take("directory")) == 1


async def test_a_part_that_could_not_be_read_comes_when_the_database_is_back(world: World):
    world.people.failures["directory"] = 2
    tab = await looking(world)
    assert tab.take() == []
    await world.clock.advance(10)
    assert len(tab.take("directory")) == 1


async def test_a_change_while_the_part_is_being_read_is_not_lost(world: World):
    world.people.failures["directory"] = 1
    tab = await looking(world)
    relist(world, "1", "abe", "ann")
    relist(world, "5", "eli", None)
    await world.clock.advance(10)
    (told,) = tab.take("directory")
    assert [(row["id"], row["key"]) for row in told["added"]] == [("1", "abe"), ("5", "eli")]


async def test_a_new_name_is_told_with_the_presence_too(world: World):
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await world.tab(hub, "ann")
    await tab.say('{"type":"watch","room":"site"}')
    tab.take()
    world.sync.relist("ann", Profile("zan", "Zan"), "ann")
    await world.clock.advance(1)
    (update,) = tab.take("update")
    assert update["page"]["put"] == [{"id": "ann", "name": "Zan", "key": "zan", "status": "online"}]
    assert update["page"]["order"] == ["bob", "ann"]


async def test_who_asks_for_part_after_part_waits_for_the_last_alone(world: World):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    answer = world.people.hold_answers()
    for number in range(50):
        hub.handle(bob.connection, Watch(directory=Range(until=f"k{number}")))
    answer.set()
    await settle()
    (told,) = bob.take("directory")
    assert told["until"] == "k49"
    assert world.people.queries.count("directory") <= 3


async def test_a_search_of_the_list_shows_whom_it_finds_and_follows_them(world: World):
    world.people.listed = {"1": Profile("ann", "Ann"), "2": Profile("zoe", "Zoe")}
    hub = await world.node()
    tab = await world.tab(hub, "bob")
    await tab.say('{"type":"watch","directory":{"search":"An"}}')
    (told,) = tab.take("directory")
    assert (told["search"], [row["key"] for row in told["added"]]) == ("An", ["ann"])
    relist(world, "3", "anton", None)
    relist(world, "4", "bert", None)
    relist(world, "2", "an zoe", "zoe")
    relist(world, "1", "tom", "ann")
    await world.clock.advance(1)
    (told,) = tab.take("directory")
    assert [row["key"] for row in told["added"]] == ["anton", "an zoe"]
    assert told["removed"] == ["1"]
