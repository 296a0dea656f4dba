"""`flask` commands for the admins: the same core verbs, with tables for people and --json for programs."""

from __future__ import annotations

from flask import Flask

from krotray_api.cli import (
    doctor,
    keygen,
    ledger,
    moving_in,
    notices,
    payments,
    plans,
    servers,
    subscriptions,
    users,
)


def install(app: Flask) -> None:
    """Adds the commands to `flask`."""
    for module in (servers, plans, users, subscriptions, payments, notices, ledger, moving_in):
        app.cli.add_command(module.group)
    servers.group.add_command(keygen.command)
    app.cli.add_command(doctor.command)
