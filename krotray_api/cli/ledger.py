"""`flask ledger`: the book of all changes."""

from __future__ import annotations

from dataclasses import asdict

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show
from krotray_core import ledger_audit

group = AppGroup("ledger", help="The append-only book of every payment, refund and day.")


@group.command("verify")
@json_option
@click.pass_context
@reports_errors
def verify(context: click.Context, as_json: bool) -> None:
    """Recompute the present state from the ledger. Exit code 1, and where, if it does not add up."""
    audit = ledger_audit.verify()
    rows = [asdict(fault) for fault in audit.faults]
    show(rows, as_json=as_json, empty=f"Книга сходится: строк {audit.lines}")
    if rows:
        more = " или больше" if len(rows) >= ledger_audit.MOST_FAULTS else ""
        click.echo(f"Не сходится: {len(rows)}{more}", err=True)
        context.exit(1)


@group.command("adopt")
@click.option("--reason", required=True, help="Why the present state is right; the ledger keeps it.")
@reports_errors
def adopt(reason: str) -> None:
    """Take what does not add up as it stands, with a line about each that says why."""
    lines = ledger_audit.adopt(reason)
    left = len(ledger_audit.verify().faults)
    click.echo(f"Принято: {lines}" + (f"; не сходится по-прежнему: {left}" if left else ""))
