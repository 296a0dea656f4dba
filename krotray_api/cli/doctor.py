"""`flask doctor`: is everything there that the service needs, and what to do where it is not. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from krotray_api.cli.output import json_option, reports_errors, show
from krotray_core import db, heartbeats, leases, outside_checks, server_checks, servers, setting_checks, settings
from krotray_core.server_checks import Finding
from krotray_tasks import beat, broker, celery

ANSWER_SECONDS = 2.0
POOLER = "set DATABASE_POOLER=transaction"


@click.command("doctor")
@json_option
@with_appcontext
@click.pass_context
@reports_errors
def command(context: click.Context, as_json: bool) -> None:
    """Check the settings, the database, the queue, the processes, YooKassa, Telegram, the Mini App and every server.

    Exit code 0 when all is well or there are only warnings, 1 when something failed.
    """
    rows = [{"part": part, "level": found.level, "finding": found.text} for part, found in _everything()]
    show(rows, as_json=as_json)
    if any(row["level"] == "failed" for row in rows):
        context.exit(1)


_OUTSIDE = {
    "clock": outside_checks.check_clock,
    "YooKassa": outside_checks.check_yookassa,
    "Telegram": outside_checks.check_telegram,
    "Mini App": outside_checks.check_mini_app,
}


def _everything() -> Iterator[tuple[str, Finding]]:
    database = _database()
    for finding in setting_checks.check():
        yield "settings", finding
    yield "database", database
    broker = _broker()
    yield "broker", broker
    if database.level != "failed":
        yield "clock", setting_checks.check_clock()
        yield "beat", _beat()
    if broker.level != "failed":
        yield "workers", _workers()
    for part, look in _OUTSIDE.items():
        for finding in look():
            yield part, finding
    if database.level == "failed":
        return
    fleet = servers.everyone()
    if not fleet:
        yield "servers", Finding("warning", "none: flask servers add")
    for server in fleet:
        for finding in server_checks.check(server.name):
            yield f"server {server.name}", finding


def _database() -> Finding:
    wanted = ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
    try:
        with db.engine().connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
            lasting = connection.scalar(text("SELECT current_setting('statement_timeout')"))
    except SQLAlchemyError as error:
        if "unsupported startup parameter" in str(error):
            return Finding("failed", f"a PgBouncer answers: {POOLER}")
        return Finding("failed", f"does not answer ({type(error).__name__}): look at DATABASE_URL")
    if present != wanted:
        return Finding("failed", f"is at version {present or 'none'}, this code needs {wanted}: flask db upgrade")
    if lasting == "0":
        return Finding(
            "warning", f"is at version {present}, but does not keep our deadlines; behind a PgBouncer {POOLER}"
        )
    return Finding("ok", f"is at version {present}")


def _broker() -> Finding:
    fault = broker.fault(celery, ANSWER_SECONDS)
    if fault:
        name = "CELERY_BROKER_URL" if settings.get().celery_broker_url else "REDIS_URL"
        return Finding("failed", f"does not answer ({fault}): look at {name}")
    return Finding("ok", "answers")


def _beat() -> Finding:
    if leases.is_held(beat.LEASE):
        return Finding("ok", "one is running")
    return Finding("failed", "none is running: nobody is expired, and no lost message is made up for; start `beat`")


def _workers() -> Finding:
    answers = celery.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    served = {queue["name"] for queues in answers.values() for queue in queues}
    missing = [queue for queue in broker.QUEUES if queue not in served]
    if missing:
        said = ", ".join(f"{queue} ({_seen(queue)})" for queue in missing)
        return Finding("failed", f"nobody works on: {said}; start `worker`")
    return Finding("ok", f"{len(answers)} running, every queue is worked on")


def _seen(queue: str) -> str:
    try:
        seconds = heartbeats.served().get(queue)
    except SQLAlchemyError:
        return "since when is unknown"
    if seconds is None:
        return "nobody within a day"
    return f"somebody {seconds / 60:.0f} min ago" if seconds > 90 else f"somebody {seconds:.0f} s ago"
