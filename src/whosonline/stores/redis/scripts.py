"""The Lua scripts: each is one atomic step, sent once and then called by its hash."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "lua"


class Script(NamedTuple):
    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> Script:
        return cls(source, sha1(source.encode()).hexdigest())


@cache
def script(name: str) -> Script:
    """Return a script, what every script begins with included."""
    return Script.of((FOLDER / "lib.lua").read_text() + (FOLDER / f"{name}.lua").read_text())
