"""For those who run the service: /healthz, /readyz, /metrics."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator

from flask import Blueprint, Response, abort, jsonify, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from krotray_api import addresses
from krotray_core import db, figures, settings
from krotray_tasks import broker, celery

log = logging.getLogger(__name__)
blueprint = Blueprint("service", __name__)

BROKER_SECONDS = 1.0


@blueprint.get("/healthz")
def alive() -> Response:
    """This process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """Database and broker answer too; 503 with what is missing."""
    missing = [name for name, answers in (("database", _database), ("broker", _broker)) if not answers()]
    return jsonify(status="unready" if missing else "ready", missing=missing), 503 if missing else 200


def _database() -> bool:
    try:
        with db.transaction() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        log.warning("no database: %s", type(error).__name__)
        return False
    return True


def _broker() -> bool:
    fault = broker.fault(celery, BROKER_SECONDS)
    if fault:
        log.warning("no broker: %s", fault)
    return fault is None


@blueprint.get("/metrics")
def metrics() -> Response:
    """The state of the service for Prometheus; to this machine, or with METRICS_TOKEN as a bearer token."""
    if not _may_see_metrics():
        abort(403, "only from this machine, or with METRICS_TOKEN")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_see_metrics() -> bool:
    s = settings.get()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if s.metrics_token and scheme.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), s.metrics_token.get_secret_value().encode())
    # Through a proxy that is not in TRUSTED_PROXIES the whole world would look like this machine.
    if "X-Forwarded-For" in request.headers and not s.trusted_proxies:
        return False
    address = addresses.client_address(request, s.trusted_proxies)
    return address is not None and address.is_loopback


class _Gauges:
    """Counted at the moment of asking, so that every gunicorn worker gives the same answer."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = figures.count()
        yield _labelled("krotray_payments", "Payments by state", "status", now.payments)
        yield _labelled("krotray_subscriptions", "Subscriptions by state", "status", now.subscriptions)
        yield _plain("krotray_flagged_payments", "Payments that a person must look at", now.flagged_payments)
        yield _plain("krotray_waiting_subscriptions", "Paid, but no server has room", now.waiting)
        yield _plain("krotray_dirty_seats", "Seats that their server has not confirmed yet", now.dirty_seats)
        up = {name: is_up is not False for name, is_up, _, _ in now.servers}
        yield _labelled("krotray_server_up", "Whether the Xray answered last time", "server", up)
        taken = {name: active for name, _, active, _ in now.servers}
        yield _labelled("krotray_server_users", "Seats taken on a server", "server", taken)
        room = {name: most for name, _, _, most in now.servers}
        yield _labelled("krotray_server_max_users", "Seats there are on a server", "server", room)


def _plain(name: str, text: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: dict[str, int] | dict[str, bool]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
