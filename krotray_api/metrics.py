"""/metrics for Prometheus: the state of the service, counted in the database, the same whichever process answers.

Each part stands by itself: one that is away (the broker, say) leaves the others readable, and says so in krotray_scrape_part_up.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from krotray_api import addresses, describing, measure
from krotray_api.describing import Media
from krotray_core import figures, heartbeats, settings
from krotray_core.figures import Pile
from krotray_tasks import broker, queues

log = logging.getLogger(__name__)
blueprint = Blueprint("metrics", __name__)

# What has not been begun by then is left out: Prometheus gives an answer ten seconds.
BUDGET_SECONDS = 5.0


@blueprint.get("/metrics")
@describing.answers(Media({"text/plain": "string"}), login=False, problems=(403,))
def metrics() -> Response:
    """The state of the service; to this machine, or with METRICS_TOKEN as a bearer token."""
    if not _may_see():
        abort(403, "only from this machine, or with METRICS_TOKEN")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_State())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_see() -> bool:
    s = settings.get()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if s.metrics_token and scheme.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), s.metrics_token.get_secret_value().encode())
    # Through a proxy that is not in TRUSTED_PROXIES the whole world would look like this machine.
    if "X-Forwarded-For" in request.headers and not s.trusted_proxies:
        return False
    address = addresses.client_address(request, s.trusted_proxies)
    return address is not None and address.is_loopback


class _State:
    """Asks every part, one after another."""

    def collect(self) -> Iterator[Metric]:
        began = time.monotonic()
        up = GaugeMetricFamily("krotray_scrape_part_up", "Whether this part could be asked", labels=["part"])
        took = GaugeMetricFamily("krotray_scrape_part_duration_seconds", "How long asking it took", labels=["part"])
        for name, part in PARTS.items():
            asked = time.monotonic()
            try:
                found = list(part()) if asked - began < BUDGET_SECONDS else None
            except Exception as error:  # whatever it is: the others are what one wants to see then
                log.warning("no figures about %s: %s", name, type(error).__name__)
                found = None
            up.add_metric([name], found is not None)
            took.add_metric([name], time.monotonic() - asked)
            yield from found or ()
        yield up
        yield took


def _totals() -> Iterator[Metric]:
    now = figures.totals()
    yield _labelled("krotray_payments", "Payments by state", "status", now.payments.items())
    yield _labelled("krotray_subscriptions", "Subscriptions by state", "status", now.subscriptions.items())
    drift = CounterMetricFamily("krotray_audit_drift", "Users that an audit found wrong on a server", labels=["kind"])
    for kind, number in now.drift.items():
        drift.add_metric([kind], number)
    yield drift
    for kind, text in _DURATIONS.items():
        seen = now.durations[kind]
        family = HistogramMetricFamily(f"krotray_{kind}_duration_seconds", text)
        family.add_metric([], [(bound, float(number)) for bound, number in seen.buckets], seen.seconds)
        yield family


_DURATIONS = {
    "settle": "From the webhook (or the money, where none came) to a payment that counts",
    "provisioning": "From a seat to the server's word that it lets its person in",
    "payment_to_key": "From the webhook (or the money, where none came) to a key that works",
}


def _pile(name: str, of: str, ask: Callable[[], Pile]) -> Callable[[], Iterator[Metric]]:
    def part() -> Iterator[Metric]:
        pile = ask()
        yield _plain(name, f"{of}, a hundred thousand at most", pile.number)
        yield _plain(f"{name}_oldest_seconds", f"{of}: since when the oldest", pile.oldest_seconds)

    return part


def _servers() -> Iterator[Metric]:
    fleet = figures.servers()
    yield _labelled(
        "krotray_server_up", "Whether the Xray answered last time", "server", ((s.name, s.up) for s in fleet)
    )
    yield _labelled("krotray_server_open", "Whether it takes new people", "server", ((s.name, s.open) for s in fleet))
    yield _labelled(
        "krotray_server_enabled", "Whether it is meant to be in use", "server", ((s.name, s.enabled) for s in fleet)
    )
    yield _labelled("krotray_server_users", "Seats taken on a server", "server", ((s.name, s.users) for s in fleet))
    yield _labelled(
        "krotray_server_max_users", "Seats there are on a server", "server", ((s.name, s.max_users) for s in fleet)
    )
    silent = ((s.name, s.silent_seconds) for s in fleet if s.silent_seconds is not None)
    yield _labelled("krotray_server_last_answer_age_seconds", "Since it answered last", "server", silent)


def _processes() -> Iterator[Metric]:
    seen, beat = heartbeats.workers(), heartbeats.beat_seen()
    lately = [worker for worker in seen if worker.seconds < heartbeats.LATELY_SECONDS]
    on = ((queue, sum(queue in worker.queues for worker in lately)) for queue in broker.QUEUES)
    yield _labelled(
        "krotray_workers", "Workers on a queue that have said within the last minute that they live", "queue", on
    )
    ages = {worker.name: worker.seconds for worker in reversed(seen)}  # the latest word of each
    yield _labelled("krotray_worker_age_seconds", "Since a worker said that it lives", "worker", ages.items())
    held = beat is not None and beat <= heartbeats.BEAT_LENGTH.total_seconds()
    yield _plain("krotray_beat_up", "Whether a beat is running", held)
    if beat is not None:
        yield _plain("krotray_beat_age_seconds", "Since the beat renewed its lease", beat)


def _queues() -> Iterator[Metric]:
    yield _labelled("krotray_queue_messages", "Messages that no worker has taken yet", "queue", queues.depths().items())


PARTS: dict[str, Callable[[], Iterable[Metric]]] = {
    "totals": _totals,
    "servers": _servers,
    "unprovisioned": _pile(
        "krotray_unprovisioned_seats", "Paid, and not let in by the server yet", figures.unprovisioned
    ),
    "hinted": _pile("krotray_hinted_payments", "YooKassa told of them, and could not be asked yet", figures.hinted),
    "waiting": _pile("krotray_waiting_subscriptions", "Paid, but no server has room", figures.waiting),
    "dirty": _pile("krotray_dirty_seats", "Seats that their server has not confirmed yet", figures.dirty),
    "overdue": _pile("krotray_overdue_subscriptions", "Run out, and not ended yet", figures.overdue),
    "flagged": _pile("krotray_flagged_payments", "Payments that a person must look at", figures.flagged),
    "notices": _pile("krotray_notices_waiting", "Notices that should have gone out", figures.notices_due),
    "processes": _processes,
    "queues": _queues,
    "requests": lambda: measure.registry().collect(),
}


def _plain(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, rows: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in rows:
        family.add_metric([key], value)
    return family
