"""``make crowd``: simulated people come and go in the running lobby, for whoever watches the list.

The environment says how: URL (the site), PEOPLE (how many) and SECONDS (for how long).
They are the accounts ``guest-001`` and on, made at their first visit and used again by the next crowd.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .people import FormError, LoggedOutError, NoAnswerError, Person, PersonError

SPAN = 300.0
"""Seconds that the shares below are shares of; a shorter run is lived faster, and has everything too."""

BETWEEN_ARRIVALS = 0.5
"""Seconds, at first: a new password costs the site about 0.3 s of one thread."""
ARRIVING = 0.5
"""Share of the span within which everybody has arrived, if that is less."""
STAY = (0.1, 0.4)
AWAY = (0.02, 0.12)
"""Shares of the span that a visit takes, and the time until the next one."""
RETRY = 5.0
"""Seconds at most until a person tries again after an error."""

LOG_OUT = 0.3
"""How often a person logs out rather than closing the tab, and so has to log in next time."""

REPORT_EVERY = 5.0
"""Seconds."""


class SettingError(Exception):
    """A value of the environment that cannot work."""


@dataclass(frozen=True)
class Settings:
    url: str
    people: int
    seconds: float

    @property
    def span(self) -> float:
        return min(self.seconds, SPAN)


@dataclass
class Tally:
    """What has happened so far."""

    online: int | None = None
    """How many are online, by the count that the site told last."""
    tabs: int = 0
    log_ins: int = 0
    errors: list[PersonError] = field(default_factory=list)

    def line(self, seconds: float) -> str:
        online = "?" if self.online is None else self.online
        text = (
            f"{seconds:4.0f} s: {online} online, {self.tabs} tabs open, "
            f"{self.log_ins} log-ins, {len(self.errors)} errors"
        )
        return f"{text}; the last: {self.errors[-1]}" if self.errors else text


class Tab:
    """An open page of the list, and its socket, which watches what the page in a browser watches."""

    def __init__(self, person: Person, tally: Tally) -> None:
        self._person = person
        self._tally = tally
        self._users: set[str] = set()

    async def __aenter__(self) -> Tab:
        page = await self._person.page()
        self._socket = await self._person.socket()
        self._tally.tabs += 1
        self._reading = asyncio.create_task(self._read())
        await self.say("watch", directory={"after": _data(page, "after"), "until": _data(page, "until")})
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tally.tabs -= 1
        await self._socket.close()
        await self._reading

    async def say(self, kind: str, **fields: Any) -> None:
        with suppress(ConnectionError):  # the site has closed it: who stays on the page is told
            await self._socket.send_json({"type": kind, **fields})

    async def stay(self, seconds: float) -> None:
        """Look at the page for a while. Raises PersonError if the site closes the socket."""
        done, _ = await asyncio.wait([self._reading], timeout=seconds)
        if done:
            raise PersonError(f"the site closed a socket of {self._person.name}: {self._socket.close_code}")

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return  # the connection broke
            told = json.loads(message.data)
            self._tally.online = told.get("online", self._tally.online)
            if told["type"] == "directory":
                await self._watch(told)
            elif told["type"] == "error":
                self._tally.errors.append(PersonError(f"{self._person.name} was told: {message.data}"))

    async def _watch(self, directory: dict[str, Any]) -> None:
        """Look at whoever is in this part of the list now."""
        if directory.get("reset"):
            self._users.clear()
        self._users.update(row["id"] for row in directory.get("added", ()))
        self._users.difference_update(directory.get("removed", ()))
        await self.say("watch", users=sorted(self._users))


class Guest:
    """What one simulated person does.

    Args:
        desk: Held while a password is checked, which the site does in one thread: a person with a real
            browser never waits for more than one of ours.
    """

    def __init__(self, person: Person, tally: Tally, desk: asyncio.Lock, span: float) -> None:
        self._person = person
        self._tally = tally
        self._desk = desk
        self._span = span

    async def live(self, arrival: float) -> None:
        """Come at a time, in seconds from now, and from then on come and go."""
        await asyncio.sleep(arrival)
        while True:
            try:
                await self._arrive()
                await asyncio.sleep(self._some(AWAY))
            except PersonError as error:
                self._tally.errors.append(error)
                await asyncio.sleep(random.uniform(0, RETRY))

    async def _arrive(self) -> None:
        try:
            await self._visit()
        except LoggedOutError:  # or else the cookie of the last visit is still good
            await self._log_in()
            await self._visit()

    async def _log_in(self) -> None:
        async with self._desk:
            try:
                # First, since a name that is taken costs the site no password.
                await self._person.sign_up(f"Guest {self._person.name.removeprefix('guest-')}")
            except FormError:
                await self._person.log_in()
        self._tally.log_ins += 1

    async def _visit(self) -> None:
        async with Tab(self._person, self._tally) as tab:
            habit = random.choice([self._look, self._step_away, self._open_another])
            await habit(tab)
            if random.random() < LOG_OUT:
                await self._person.log_out()

    async def _look(self, tab: Tab) -> None:
        await tab.stay(self._some(STAY))

    async def _step_away(self, tab: Tab) -> None:
        for kind in ("active", "idle", "active"):
            await tab.say(kind)
            await tab.stay(self._some(STAY) / 3)

    async def _open_another(self, tab: Tab) -> None:
        await tab.stay(self._some(STAY) / 3)
        async with Tab(self._person, self._tally) as other:
            await other.stay(self._some(STAY) / 3)
        await tab.stay(self._some(STAY) / 3)

    def _some(self, share: tuple[float, float]) -> float:
        return random.uniform(*share) * self._span


async def crowd(settings: Settings) -> Tally:
    """Let the people come and go; print what goes on.

    Raises:
        NoAnswerError: the site does not answer at the start; later that is an error among others.
    """
    async with Person(settings.url, "nobody") as probe:
        await probe.page("/log_in/")
    print(f"{settings.people} people come and go at {settings.url} for {settings.seconds} s; Ctrl-C ends it")
    tally = Tally()
    desk = asyncio.Lock()
    lives = [asyncio.create_task(_life(n, settings, tally, desk)) for n in range(settings.people)]
    began = time.monotonic()
    try:
        while (left := settings.seconds - (time.monotonic() - began)) > 0:
            done, _ = await asyncio.wait(
                lives, timeout=min(left, REPORT_EVERY), return_when=asyncio.FIRST_COMPLETED
            )
            for life in done:  # they end by a fault of this program alone
                life.result()
            print(tally.line(time.monotonic() - began), flush=True)
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
    return tally


async def _life(number: int, settings: Settings, tally: Tally, desk: asyncio.Lock) -> None:
    between = min(BETWEEN_ARRIVALS, ARRIVING * settings.span / settings.people)
    async with Person(settings.url, f"guest-{number + 1:03}") as person:
        await Guest(person, tally, desk, settings.span).live(number * between)


def _data(page: str, name: str) -> str | None:
    """Return what the list on a page says about the part of all users that it shows."""
    found = re.search(rf'<ul id="users"[^>]* data-{name}="([^"]*)"', page)
    return unescape(found[1]) if found else None


def read_settings(environment: dict[str, str]) -> Settings:
    """Return what the environment asks for.

    Raises:
        SettingError: a value cannot work, or the site is not on this machine.
    """
    url = environment.get("URL", "http://127.0.0.1:8000")
    parts = urlsplit(url)
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise SettingError(
            f"URL is {url!r}: a crowd makes accounts whose password everybody knows, "
            "so it goes to this machine alone (http://127.0.0.1:8000)"
        )
    return Settings(url, _number(environment, "PEOPLE", 200), _number(environment, "SECONDS", 300))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _number(environment: dict[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or int(text) == 0:
        raise SettingError(f"{name} must be a whole number above 0, not {text!r}")
    return int(text)


def main() -> int:
    try:
        settings = read_settings(dict(os.environ))
        tally = asyncio.run(crowd(settings))
    except SettingError as error:
        print(error, file=sys.stderr)
        return 1
    except NoAnswerError:
        print(
            f"Nothing answers at {settings.url}. Start the lobby with make run, or name another address: "
            "make crowd URL=http://127.0.0.1:9000",
            file=sys.stderr,
        )
        return 1
    except PersonError as error:
        print(f"What answers at {settings.url} is not the lobby: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    print(f"They have all gone: {tally.log_ins} log-ins, {len(tally.errors)} errors.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
