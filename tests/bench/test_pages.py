"""The bench of the list's pages measures each of them."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.pages import PAGES
from tests.serving import ROOT


def test_every_page_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.pages", "--users", "300", "--rounds", "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src:."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for what in PAGES:
        assert f"| {what} | " in done.stdout
