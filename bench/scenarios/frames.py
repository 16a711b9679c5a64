"""What a delivered frame costs one process, beside bare C: :mod:`bench.fanout`, as one row of the table."""

from __future__ import annotations

from .. import fanout
from ..run import Run, spread

SOCKETS = (100, 10_000)
"""At least and at most; in between, a part of all."""

SHARE = 3
"""One process holds one in so many of all."""


def frames(run: Run) -> None:
    least, most = SOCKETS
    sockets = min(most, max(least, run.options.sockets // SHARE))
    result = fanout.measure(sockets, run.options.turns * run.options.repeat)
    ratios = sorted(site.cpu / bare.cpu for site, bare in zip(result.site, result.bare, strict=True))
    figure = f"CPU a delivered frame, one process, {sockets:,} sockets: ratio to bare {result.bare_name}"
    run.add(figure, "≤ 2", spread(ratios, 2), ratios[len(ratios) // 2] <= 2)
    run.add("the same, of ours", "", f"{spread((of.cpu * 1e6 for of in result.site), 2)} µs")
