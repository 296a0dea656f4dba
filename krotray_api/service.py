"""For those who run the service: /healthz, /readyz."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from krotray_api import describing
from krotray_api.schemas import Alive, Ready
from krotray_core import db
from krotray_tasks import broker, celery

log = logging.getLogger(__name__)
blueprint = Blueprint("service", __name__)

BROKER_SECONDS = 1.0


@blueprint.get("/healthz")
@describing.answers(Alive, login=False)
def alive() -> Response:
    """This process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@describing.answers(Ready, login=False, also={503: Ready})
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
