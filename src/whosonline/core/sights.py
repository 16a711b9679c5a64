"""What one viewer may see of the others, as far as the site's own rule has been asked.

The rule may be slow, and may change its mind; the windows want to know now. So a *sight* answers from what it
was told: who has not been asked about is not seen. Whom a window would like to show it *wants*; somebody else
(:mod:`whosonline.hub.sights`) takes the questions and brings the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any


class Sight:
    """Whom one user may see. One always sees oneself.

    Args:
        viewer: The user who looks.
        on_wanted: Called when there is something to ask.
    """

    __slots__ = (
        "_answers",
        "_asked",
        "_question",
        "_stale",
        "_wanted",
        "failing",
        "on_wanted",
        "viewer",
        "watchers",
    )

    blind = False
    """Whether it never sees anybody."""

    def __init__(self, viewer: str, on_wanted: Callable[[Sight], None] = lambda sight: None) -> None:
        self.viewer = viewer
        self.on_wanted = on_wanted
        self.watchers: dict[Any, None] = {}
        """The viewer's connections."""
        self.failing = False
        """Whether the last question had no answer."""
        self._answers: dict[str, bool] = {}
        # Answers that may not be so any more; they stand until a new one has come, or fails to.
        self._stale: dict[str, bool] = {}
        self._wanted: dict[str, None] = {}
        self._question: list[str] | None = None
        self._asked: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._answers) + len(self._stale)

    def sees(self, user: str) -> bool:
        """Return whether the user may be shown, as far as is known."""
        if user == self.viewer:
            return True
        answer = self._answers.get(user)
        return answer if answer is not None else self._stale.get(user, False)

    def want(self, users: Iterable[str]) -> None:
        """Have those of the users asked about of whom there is no answer that counts."""
        new = [
            user
            for user in users
            if user != self.viewer and user not in self._answers and not self.asks_about(user)
        ]
        if new:
            self._wanted.update(dict.fromkeys(new))
            self.on_wanted(self)

    def asks_about(self, user: str) -> bool:
        """Return whether an answer about a user is on its way."""
        return user in self._wanted or user in self._asked

    @property
    def waits(self) -> bool:
        """Whether there are answers still to come."""
        return bool(self._wanted) or self._question is not None or self.failing

    # For who asks

    def question(self, most: int) -> list[str]:
        """Return the next users to ask about; empty if there are none."""
        users = list(islice(self._wanted, most))
        for user in users:
            del self._wanted[user]
        self._question, self._asked = users or None, frozenset(users)
        return users

    def answer(self, question: list[str], seen: Collection[str]) -> None:
        """Take over who of a question's users is seen.

        An answer to a question from before a doubt counts for nothing: it is asked again.
        """
        if question is not self._question:
            return
        self._put_away()
        self.failing = False
        for user in question:
            self._answers[user] = user in seen
            self._stale.pop(user, None)

    def fail(self, question: list[str]) -> list[str]:
        """Note that there was no answer; return those who are not seen any more for that.

        Nothing that is in doubt is shown from then on.
        """
        gone = [user for user, seen in self._stale.items() if seen]
        self._stale = {}
        self.failing = True
        if question is self._question:
            self._put_away()
        return gone

    def doubt(self, shown: Iterable[str]) -> None:
        """Count no answer any more. For those who are shown it stands until there is a new one."""
        self._stale = {user: True for user in shown if self.sees(user)}
        self._answers = {}
        if self._question is not None:
            self._wanted.update(dict.fromkeys(self._question))
            self._put_away()

    def keep(self, users: Collection[str]) -> None:
        """Forget the answers about all others."""
        self._answers = {user: seen for user, seen in self._answers.items() if user in users}
        self._stale = {user: seen for user, seen in self._stale.items() if user in users}

    def _put_away(self) -> None:
        self._question, self._asked = None, frozenset()


class Blind(Sight):
    """Sees nobody, and asks nothing: what a room shows to whom it is closed to."""

    __slots__ = ()

    blind = True

    def sees(self, user: str) -> bool:
        return False

    def want(self, users: Iterable[str]) -> None:
        pass


BLIND = Blind("")
