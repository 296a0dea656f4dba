"""`python -m sandbox.xray_node CONFIG.json`: one Xray, from the wheel, until this process ends (the wheel offers no stop)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import xray


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # Xray's own threads would keep a normal exit waiting


def main() -> None:
    """Runs the Xray that the file describes."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    xray.startFromJSON(Path(sys.argv[1]).read_text())
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
