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


@cache
def script(name: str) -> Script:
    """Return a script, what every script begins with included."""
    source = (FOLDER / "lib.lua").read_text() + (FOLDER / f"{name}.lua").read_text()
    return Script(source, sha1(source.encode()).hexdigest())
