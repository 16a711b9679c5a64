"""Scripts by another clock than the server's, so that a test can set it."""

from __future__ import annotations

from whosonline.stores.redis.scripts import Script, script

TOLD = "time[1] * 1000000 + time[2]"


def script_at(name: str, micros: str) -> Script:
    """Return a script whose time, in microseconds since 1970, is this Lua expression (TOLD: the server's)."""
    source = script(name).source
    assert source.count(TOLD) == 1
    return Script.of(source.replace(TOLD, micros))
