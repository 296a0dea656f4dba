"""`flask subscriptions`: presents, ends and keys."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from krotray_api.cli import story
from krotray_api.cli.output import json_option, reports_errors, show
from krotray_api.cli.types import moment
from krotray_core import cabinet, clock, ledger, subscriptions, users
from krotray_core.subscriptions import Changed
from krotray_tasks import access

group = AppGroup("subscriptions", help="Who may connect, and how long.")
telegram_id_argument = click.argument("telegram_id", type=int)


def _done(what: str, changed: Changed) -> None:
    access.follow_up(changed.servers)
    subscription = changed.subscription
    waits = ", ждёт места на сервере" if subscription.waiting_since else ""
    end = cabinet.ends_at(subscription, clock.now())
    click.echo(f"{what}: {subscription.status}, до {end.isoformat(timespec='seconds')}{waits}")


@group.command("grant")
@telegram_id_argument
@click.option("--days", type=click.IntRange(1), required=True, help="How many days to add.")
@reports_errors
def grant(telegram_id: int, days: int) -> None:
    """Give days as a present."""
    _done("Дни добавлены", subscriptions.grant(telegram_id, days))


@group.command("set-expiry")
@telegram_id_argument
@click.argument("text", metavar="ISO_TIME")
@reports_errors
def set_expiry(telegram_id: int, text: str) -> None:
    """Move the end to a moment, such as 2026-12-31T23:59:59+03:00."""
    _done("Срок изменён", subscriptions.set_expiry(telegram_id, moment(text)))


@group.command("revoke")
@telegram_id_argument
@reports_errors
def revoke(telegram_id: int) -> None:
    """End access now."""
    _done("Доступ отозван", subscriptions.revoke(telegram_id))


@group.command("rotate-key")
@telegram_id_argument
@reports_errors
def rotate_key(telegram_id: int) -> None:
    """Give a new key and link; the old ones stop working."""
    _done("Ключ заменён", subscriptions.rotate_key(telegram_id))


@group.command("history")
@telegram_id_argument
@json_option
@reports_errors
def history(telegram_id: int, as_json: bool) -> None:
    """Every ruble and every day of one person, oldest first."""
    lines = story.rows(ledger.of_user(users.find(telegram_id).id))
    show(lines, as_json=as_json, columns=story.COLUMNS, empty="Ничего не было")


@group.command("expire-due")
@reports_errors
def expire_due() -> None:
    """End what has run out, now rather than at the next sweep."""
    count, servers = subscriptions.expire_due()
    access.follow_up(servers)
    click.echo(f"Закончилось подписок: {count}")
