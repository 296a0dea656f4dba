"""`python -m sandbox.xray_node CONFIG.json`: one Xray, from the wheel, until this process ends (it offers no stop)."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import xray


def main() -> None:
    """Runs the Xray that the file describes."""
    xray.startFromJSON(Path(sys.argv[1]).read_text())
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
