"""`python -m benchmarks [PART ...]`: every figure of docs/performance.md beside its limit, measured in the same run.

Without names all parts are measured and the page is written; with names (web, purchases, fleet, sweep, watching, memory) only
those are, and printed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import fleet, memory, purchases, report, sweep, table, web
from benchmarks.stage import DATABASE, Stage
from krotray_core import clock

# In this order: memory before anything has grown, what works in databases of its own at the end.
PARTS: dict[str, Callable[[Stage], Iterator[table.Row]]] = {
    "memory": memory.rows,
    "web": web.rows,
    "purchases": purchases.rows,
    "fleet": fleet.rows,
    "watching": fleet.watching,
    "sweep": sweep.rows,
}
SHOWN = ("web", "purchases", "fleet", "sweep", "watching", "memory")


def main(parts: list[str]) -> int:
    """Measures; 1 when a part broke, 2 for one that there is not."""
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    began, found, broken = time.monotonic(), dict[str, list[table.Row]](), list[str]()
    with tempfile.TemporaryDirectory(prefix="krotray-bench-") as folder:
        stage = Stage(Path(folder))
        try:
            on = report.machine()
            print(on, flush=True)
            for name, measure in PARTS.items():
                if parts and name not in parts:
                    continue
                if os.environ["DATABASE_URL"] != stage.world.environment(DATABASE)["DATABASE_URL"]:
                    stage.use(DATABASE)
                since = time.monotonic()
                found[name] = []
                try:
                    for row in measure(stage):
                        found[name].append(row)
                        print("  " + " | ".join(row.cells()), flush=True)
                except Exception:  # the other parts are worth their minutes all the same
                    traceback.print_exc()
                    broken.append(name)
                print(f"{name}: {time.monotonic() - since:.0f} s", flush=True)
        finally:
            stage.close()
    rows = [row for name in SHOWN for row in found.get(name, ())]
    print("\n" + table.plain(rows))
    if broken:
        print(f"\nNOT measured to the end: {', '.join(broken)}", file=sys.stderr)
    if not parts and not broken:
        told = f"{clock.now():%Y-%m-%d}, in {(time.monotonic() - began) / 60:.0f} minutes: {on}."
        report.write("bench", f"{told}\n\n{table.markdown(rows)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
