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
        click.echo(f"Не сходится: {len(rows)}", err=True)
        context.exit(1)
