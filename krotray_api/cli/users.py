"""`flask users`: the people."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show_one
from krotray_core import cabinet, users

group = AppGroup("users", help="The people who have talked to us.")


@group.command("show")
@click.argument("telegram_id", type=int)
@json_option
@reports_errors
def show(telegram_id: int, as_json: bool) -> None:
    """One person and their subscription (without the key)."""
    user = users.find(telegram_id)
    seen = cabinet.of_user(user.id)
    row = {
        "id": user.id,
        "telegram_id": user.telegram_id,
        "username": user.username,
        "first_name": user.first_name,
        "created_at": user.created_at,
        "state": seen.state,
        "status": seen.subscription.status if seen.subscription else None,
        "expires_at": seen.expires_at,
        "days_left": seen.days_left,
        "waiting_since": seen.subscription.waiting_since if seen.subscription else None,
        "server": seen.server_name,
        "email": users.email(user.id),
    }
    show_one(row, as_json=as_json)
