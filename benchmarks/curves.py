"""`python -m benchmarks.curves`: the same figures with 1,000, 100,000 and 1,000,000 subscribers and on 1, 10 and 30 servers.

Nothing may grow faster than the work. Each verb is called in this process, one at a time; the servers are simulated Xrays. Writes
a table into docs/performance.md and draws docs/growth.svg from it. Some minutes, and two gigabytes in a temporary folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import requests
from matplotlib import pyplot
from sqlalchemy import text

from benchmarks import report, table
from benchmarks.fleet import free_ports
from benchmarks.stage import DATABASE, Stage, add, fill
from krotray_core import billing, cabinet, checkout, db, health, provisioning, subscriptions, users
from krotray_core.models import Payment
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import ROOT

PEOPLE, SERVERS = (1_000, 100_000, 1_000_000), (1, 10, 30)
# While the one grows the other stays.
USUAL_PEOPLE, USUAL_SERVERS = 100_000, 10
TIMES, DUE = 25, 100
PICTURE = ROOT / "docs" / "growth.svg"
FIGURES = (
    "a webhook noted",
    "a payment settled",
    "its user let in",
    "cabinet read",
    "subscription link read",
    "open payments looked for",
    "sweep, nobody has run out",
    f"sweep, {DUE} have run out",
    "all servers looked at",
)
_buyers = count(9 * 10**10)


def main() -> None:
    """Measures, writes and draws."""
    found: dict[tuple[int, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="krotray-curves-") as folder:
        stage = Stage(Path(folder), people=0)
        # The threads stay until the end: a child is tied to the life of the thread that has started it.
        pool = ThreadPoolExecutor(4)
        nodes = list(pool.map(lambda one: _simulated(stage, *one), enumerate(free_ports(max(SERVERS)))))
        try:
            for people, servers in dict.fromkeys(
                [(people, USUAL_SERVERS) for people in PEOPLE] + [(USUAL_PEOPLE, servers) for servers in SERVERS]
            ):
                stage.use(f"{DATABASE}_{people}_{servers}")
                found[people, servers] = _measured(stage, people, nodes[:servers])
                print(
                    f"{people:,} people, {servers} servers", *(f"{ms:.2f}" for ms in found[people, servers]), flush=True
                )
        finally:
            for node in nodes:
                node.crash()
            pool.shutdown()
            stage.close()
    report.write("curves", _table(found))
    _draw(found)


def _simulated(stage: Stage, number: int, grpc_port: int) -> SimulatedXray:
    return SimulatedXray(f"Sim{number}", stage.world.logs, grpc_port=grpc_port, vless_port=1)


def _measured(stage: Stage, people: int, nodes: Sequence[SimulatedXray]) -> list[float]:
    """Milliseconds for each of FIGURES."""
    fill(people, [add(node).id for node in nodes])
    health.watch()
    _purchases(stage, 3, [], [], [])  # warm
    noted, settled, let_in = list[float](), list[float](), list[float]()
    _purchases(stage, TIMES, noted, settled, let_in)
    return [
        median(noted),
        median(settled),
        median(let_in),
        _median(lambda number: cabinet.of_person(users.Person(10**10 + 1 + number * 37 % people, first_name="Анна"))),
        _median(lambda number: cabinet.of_token(f"token-{1 + number * 41 % people}")),
        _median(lambda _: billing.claim_open()),
        _median(lambda _: subscriptions.expire_due()),
        median(_ends(people, turn) for turn in range(3)),
        _median(lambda _: health.watch(), times=5),
    ]


def _median(work: Callable[[int], object], times: int = TIMES) -> float:
    work(0)
    return median(_ms(partial(work, number)) for number in range(1, times + 1))


def _purchases(stage: Stage, many: int, noted: list[float], settled: list[float], let_in: list[float]) -> None:
    """So many new people buy; adds the milliseconds of each step."""
    for _ in range(many):
        user = users.greet(users.Person(next(_buyers), first_name="Анна"))
        payment = checkout.start(user.id, "1m", "card")
        pay = f"{stage.world.yookassa_url}/sandbox/payments/{payment.external_id}/pay"
        requests.post(pay, json={}, timeout=10).raise_for_status()
        noted.append(_ms(lambda payment=payment: _note(payment)))
        servers: set[int] = set()
        settled.append(_ms(lambda payment=payment, servers=servers: servers.update(billing.settle(payment.id).servers)))
        let_in.append(_ms(lambda servers=servers: [provisioning.converge(one) for one in servers]))


def _note(payment: Payment) -> None:
    billing.note_hint(payment.external_id or "", "payment.succeeded", payment.id)


def _ms(work: Callable[[], object]) -> float:
    return table.timed(work) * 1000


def _ends(people: int, turn: int) -> float:
    """Milliseconds of a sweep that ends DUE, spread over all."""
    with db.transaction() as session:
        session.execute(
            text(
                "UPDATE subscriptions SET expires_at = now() - interval '1 second'"
                " WHERE status = 'active' AND token = ANY(:tokens)"
            ),
            {"tokens": [f"token-{1 + (number * (people // DUE) + turn) % people}" for number in range(DUE)]},
        )
    return _ms(subscriptions.expire_due)


def _table(found: dict[tuple[int, int], list[float]]) -> str:
    """For docs/performance.md: milliseconds."""
    heads = [f"{people:,} / {servers}" for people, servers in found]
    lines = [["ms, with subscribers / servers", *heads], ["---"] * (len(heads) + 1)]
    lines += [[name, *(f"{found[key][row]:.2f}" for key in found)] for row, name in enumerate(FIGURES)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _draw(found: dict[tuple[int, int], list[float]]) -> None:
    """Both directions side by side; a line that is flat does not grow with what is there."""
    pyplot.rcParams["svg.hashsalt"] = "krotray"  # the same figures are the same file
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for row, name in enumerate(FIGURES):
        panels[0].plot(PEOPLE, [found[people, USUAL_SERVERS][row] for people in PEOPLE], marker="o", label=name)
        panels[1].plot(SERVERS, [found[USUAL_PEOPLE, servers][row] for servers in SERVERS], marker="o", label=name)
    panels[0].set(xscale="log", yscale="log", xlabel=f"subscribers ({USUAL_SERVERS} servers)", ylabel="milliseconds")
    panels[1].set(xlabel=f"servers ({USUAL_PEOPLE:,} subscribers)", xticks=SERVERS)
    for panel in panels:
        panel.grid(visible=True, which="major", alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right", frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
