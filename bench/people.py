"""Simulated people: real pages, real forms, real sockets."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

PASSWORD = "correct-horse-battery"
"""What simulated people log in with, unless told otherwise."""

TIMEOUT = 60.0
"""Seconds that a page may take; a crowd that logs in waits for one password after the other."""

SUBPROTOCOL = "whosonline.v1"


class PersonError(Exception):
    """What a person wanted did not work; the text says what was asked, and what the site answered."""


class NoAnswerError(PersonError):
    """The site cannot be reached, or took too long."""


class LoggedOutError(PersonError):
    """The page is shown to the logged-in alone; the site asked for a log-in instead."""


class FormError(PersonError):
    """The site showed a form again, with errors; they are in the text."""


class Person:
    """One person with one browser: cookies of their own, and as many sockets as they open tabs.

    Used with ``async with``, which closes everything at its end.

    Args:
        url: The site, as in ``http://127.0.0.1:8000``.
        name: The username.
        password: For signing up and for logging in.
    """

    def __init__(self, url: str, name: str, password: str = PASSWORD) -> None:
        parts = urlsplit(url)
        self.name = name
        self.password = password
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def __aenter__(self) -> Person:
        self._browser = aiohttp.ClientSession(
            self._origin,
            # By default aiohttp keeps no cookies of hosts without a name, as 127.0.0.1.
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(socket.close() for socket in self._sockets))
        await self._browser.close()

    async def sign_up(self, display_name: str = "") -> None:
        """Make the account; the site logs it in.

        Raises:
            FormError: the name is taken, or the site does not like it.
        """
        await self._fill_in(
            "/sign_up/",
            username=self.name,
            first_name=display_name,
            password1=self.password,
            password2=self.password,
        )

    async def log_in(self) -> None:
        """Log in. Raises FormError for a wrong name or password."""
        await self._fill_in("/log_in/", username=self.name, password=self.password)

    async def log_out(self) -> None:
        """Press the button on the log-out page."""
        await self._fill_in("/log_out/")

    async def page(self, path: str = "/") -> str:
        """Return the HTML of a page; by default, of the list. Raises PersonError if it is not shown."""
        status, text = await self._request("GET", path)
        if status == HTTPStatus.FOUND and text.startswith("to /log_in/"):
            raise LoggedOutError(f"GET {path} as {self.name}: {_told(status, text)}")
        if status != HTTPStatus.OK:
            raise PersonError(f"GET {path} as {self.name}: {_told(status, text)}")
        return text

    async def socket(self, path: str = "/users/") -> aiohttp.ClientWebSocketResponse:
        """Open a socket, as one more tab does.

        It answers pings only while it is being read from.

        Raises:
            PersonError: the handshake failed. (The site refuses the logged-out after the handshake.)
        """
        try:
            socket = await self._browser.ws_connect(path, protocols=[SUBPROTOCOL], origin=self._origin)
        except aiohttp.WSServerHandshakeError as error:
            raise PersonError(f"socket {path} as {self.name}: {_told(error.status, '')}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswerError(f"socket {path} as {self.name}: {_why(error)}") from None
        self._sockets = [open_ for open_ in self._sockets if not open_.closed] + [socket]
        return socket

    async def _fill_in(self, path: str, **fields: str) -> None:
        """Load the page of a form, and post the form."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await self.page(path))
        if token is None:
            raise PersonError(f"GET {path} as {self.name}: there is no form on the page")
        fields["csrfmiddlewaretoken"] = token[1]
        status, text = await self._request("POST", path, fields)
        if status == HTTPStatus.OK:
            raise FormError(f"POST {path} as {self.name}: {_form_errors(text)}")
        if status != HTTPStatus.FOUND:
            raise PersonError(f"POST {path} as {self.name}: {_told(status, text)}")

    async def _request(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
        try:
            # Every browser says so when it sends a form, and over TLS Django insists on it.
            headers = {"Origin": self._origin} if method == "POST" else None
            async with self._browser.request(
                method, path, data=fields, headers=headers, allow_redirects=False
            ) as response:
                text = await response.text()
                if location := response.headers.get("Location"):
                    text = f"to {location}"
                return response.status, text
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswerError(f"{method} {path} as {self.name}: {_why(error)}") from None


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _told(status: int, text: str) -> str:
    """Return what the site answered, in a line."""
    return f"{status} {HTTPStatus(status).phrase} {_plain(text)[:200]}".strip()


def _form_errors(page: str) -> str:
    errors = re.findall(r'<(\w+)[^>]*class="[^"]*error[^"]*"[^>]*>(.*?)</\1>', page, re.DOTALL)
    return " ".join(_plain(text) for _, text in errors) or "the form came back without an error"


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
