"""One run of the whole table: what was asked for, and what was measured so far."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from .accounts import Account, environment, make_accounts
from .cast import Cast
from .load import Load
from .site import Site


class Options(NamedTuple):
    """What was asked for."""

    sockets: int = 100_000
    repeat: int = 3
    """How often what can be repeated is."""
    hold: float = 600.0
    """Seconds that all sockets are held while nothing happens."""
    window: float = 20.0
    """Seconds of comings and goings, each time."""
    workers: int = 6
    """Processes that serve."""
    stay: float = 6.0
    """Seconds that a visitor stays."""
    grace: float = 5.0
    """The site's grace period, where it is not the storm."""
    recheck: float = 86400.0
    """Seconds in which the site looks at everybody's session once, where all are connected. By the site's own
    default these are five minutes, 200 sessions by three statements: known, and it would hide what else an
    idle site asks its database."""
    turns: int = 15
    """People who come one by one, and changes whose frames are weighed, for each repetition."""
    quiet: float = 1.5
    """Seconds without a frame after which everything has been told; the online count goes once a second."""


class Row(NamedTuple):
    """A figure of the table."""

    figure: str
    goal: str
    measured: str
    met: bool | None = None
    """None where there is no goal, or the run is too small to judge it."""
    yardstick: str = ""
    """The same of the tutorial's way."""


class Cost(NamedTuple):
    """What one scenario took, for whoever reckons what another size would take."""

    scenario: str
    seconds: float
    servers: float
    """CPU seconds."""
    redis: float
    """CPU seconds."""
    load: float
    """CPU seconds of the clients, on the same machine."""
    frames: int
    received: int
    """Bytes that the clients received."""
    sent: int
    """Bytes that the clients sent."""
    units: float
    unit: str


@dataclass
class Run:
    options: Options
    folder: Path
    cast: Cast
    accounts: Sequence[Account]
    rows: list[Row] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """What is drawn, by name: points (x, y)."""

    def renew_accounts(self) -> None:
        """Let all sessions begin, also of those who have logged out meanwhile."""
        self.accounts = make_accounts(self.cast.total, self.folder, os.environ | environment(self.folder))

    def tell(self, text: str) -> None:
        """Say what is going on."""
        print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)

    def add(
        self, figure: str, goal: str, measured: str, met: bool | None = None, yardstick: str = ""
    ) -> None:
        row = Row(figure, goal, measured, met, yardstick)
        self.rows.append(row)
        self.tell(f"{figure}: {measured}" + (f" (goal {goal})" if goal else ""))

    @contextmanager
    def spending(self, scenario: str, site: Site, load: Load, units: float, unit: str) -> Iterator[None]:
        """Note what the site takes for what is done meanwhile."""
        before, told, busy = site.spent(), load.stats(), load.cpu()
        yield
        spent, now = site.spent().since(before), load.stats()
        self.costs.append(
            Cost(
                scenario,
                spent.at,
                spent.servers,
                spent.redis,
                load.cpu() - busy,
                now.frames - told.frames,
                now.received - told.received,
                now.sent - told.sent,
                units,
                unit,
            )
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many per cent of the values do not exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the median of several runs, with the least and the most if there are several."""
    ordered = sorted(values)
    text = f"{median(ordered):,.{digits}f}"
    return text + (f" ({ordered[0]:,.{digits}f} to {ordered[-1]:,.{digits}f})" if len(ordered) > 1 else "")


def curve(values: Iterable[float], points: int = 200) -> list[tuple[float, float]]:
    """Return the share of the values (from 0 to 1) up to each of so many of them."""
    ordered = sorted(values)
    step = max(1, len(ordered) // points)
    chosen = sorted({*range(0, len(ordered), step), len(ordered) - 1})
    return [(ordered[place], (place + 1) / len(ordered)) for place in chosen]
