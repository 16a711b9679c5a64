"""Imports point down only, as the floors are drawn; read from the source, so that no import hides."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

import whosonline

ROOT = Path(whosonline.__file__).parent
ANYTHING = None


class Floor(NamedTuple):
    """What one part of the package may import, beside itself and the standard library."""

    below: frozenset[str]
    """Parts of the package."""
    libraries: frozenset[str] | None
    """Other distributions; None for any."""


def floor(*below: str, libraries: tuple[str, ...] = ()) -> Floor:
    return Floor(frozenset(below), frozenset(libraries))


FLOORS = {
    # The package itself is imported by whoever imports any of it.
    "": floor(),
    "core": floor(libraries=("msgspec",)),
    "stores": floor("core", libraries=("msgspec", "redis")),
    "hub": floor("core", "stores", libraries=("msgspec",)),
    "testing": floor("core", "stores", "hub", libraries=("pytest", "hypothesis")),
    "conf": Floor(frozenset({"core", "stores", "hub"}), ANYTHING),
}
"""Everything else is the Django face: floor 4, which may import anything."""


def part_of(module: PurePath) -> str:
    return module.with_suffix("").parts[0].replace("__init__", "")


def imports(module: PurePath, source: str) -> Iterator[tuple[int, str]]:
    """Yield each import: its line, and the absolute name of what is imported."""
    package = ["whosonline", *module.parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            within = [*base, *([node.module] if node.module else [])]
            # `from . import conf` imports a module just as `from .conf import Settings` does.
            yield from ((node.lineno, ".".join([*within, alias.name])) for alias in node.names)


def faults(module: PurePath, source: str) -> Iterator[str]:
    """Yield what a module, given by its path within the package, imports from above its floor."""
    part = part_of(module)
    if part not in FLOORS:
        return
    below, libraries = FLOORS[part]
    may = ", ".join(sorted(below | (libraries or frozenset()))) or "nothing"
    for line, name in imports(module, source):
        top, *inside = name.split(".")
        if top == "whosonline":
            allowed = not inside or inside[0] in below | {part}
        else:
            allowed = libraries is ANYTHING or top in libraries | sys.stdlib_module_names
        if not allowed:
            yield f"{module}:{line} imports {name}; beside itself {part!r} may import: {may}"


MODULES = [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py"))]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_nothing_from_above_its_floor(module: Path) -> None:
    found = list(faults(module, (ROOT / module).read_text()))
    assert not found, "\n".join(found)


def test_every_floor_is_there() -> None:
    assert {part_of(module) for module in MODULES} >= FLOORS.keys()


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("core/x.py", "import django.conf", "django.conf"),
        ("core/x.py", "def f():\n    from channels.db import a", "channels.db.a"),
        ("core/x.py", "from ..stores.base import Store", "whosonline.stores.base.Store"),
        ("core/x.py", "from whosonline.hub import hub", "whosonline.hub.hub"),
        ("stores/memory/x.py", "from ...hub.node import Node", "whosonline.hub.node.Node"),
        ("stores/x.py", "from .. import conf", "whosonline.conf"),
        ("hub/x.py", "from ..runtime import get_hub", "whosonline.runtime.get_hub"),
        ("testing/x.py", "import django", "django"),
        ("conf.py", "from . import directory", "whosonline.directory"),
        ("__init__.py", "from .core import statuses", "whosonline.core.statuses"),
        ("stores/memory/x.py", "import time\nfrom ...core.entries import Change\nfrom .log import Log", None),
        ("hub/x.py", "from msgspec import UNSET\nfrom .clock import Clock\nfrom ..stores import base", None),
        ("conf.py", "from django.conf import settings\nfrom .core import policy", None),
        ("runtime.py", "import channels\nfrom .hub import hub", None),
    ],
)
def test_an_import_from_above_is_found(module: str, source: str, fault: str | None) -> None:
    found = list(faults(PurePath(module), source))
    assert len(found) == (0 if fault is None else 1)
    assert fault is None or f"imports {fault};" in found[0]
