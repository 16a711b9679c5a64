"""The plots of a run, small and light, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]

CHURN = "churn "
"""What the names of curves of comings and goings begin with, before their rate."""


def draw(curves: Mapping[str, Points], folder: Path) -> list[Path]:
    """Draw what was measured; return the files. Nothing is drawn of what was not measured."""
    folder.mkdir(parents=True, exist_ok=True)
    churn = {
        f"{name.removeprefix(CHURN)} comings and goings a second": points
        for name, points in curves.items()
        if name.startswith(CHURN)
    }
    plots = [
        _draw(
            folder / "latency.svg",
            churn,
            "Seconds until seen",
            "Share of all sights",
            {"goal, at one a second for each 100 sockets": (1.0, 0.99)},
        ),
        _draw(
            folder / "memory.svg",
            {"all server processes": curves.get("memory", ())},
            "Sockets",
            "MB",
            {},
        ),
        _draw(
            folder / "storm.svg",
            {
                "all connections broken": curves.get("storm", ()),
                "all servers restarted": curves.get("restart", ()),
            },
            "Seconds",
            "Share of all who are back",
            {"goal (all within 60 s)": (60.0, 1.0)},
        ),
    ]
    return [plot for plot in plots if plot is not None]


def _draw(
    file: Path, lines: Mapping[str, Points], x: str, y: str, goals: Mapping[str, tuple[float, float]]
) -> Path | None:
    # Not above: it takes a second to import, and nothing else of a measurement needs it.
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    if not any(lines.values()):
        return None
    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    for name, points in lines.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 10 else "")
    for name, (right, top) in goals.items():
        axes.plot([right], [top], "k+", markersize=9, linestyle="none", label=name)
    _finish(axes, x, y)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return file


def _finish(axes: Any, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
