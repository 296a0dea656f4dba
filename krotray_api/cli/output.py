"""How commands answer: a table or JSON on stdout, an error as one line on stderr with exit code 1."""

from __future__ import annotations

import functools
import getpass
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from krotray_core import ledger, tracing
from krotray_core.errors import KrotRayError

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are one line on stderr and exit code 1, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with tracing.following(), ledger.acting(f"admin {_login()}"):
                return command(*args, **kwargs)
        except KrotRayError as error:
            raise click.ClickException(str(error)) from None
        except UnicodeError:
            raise click.ClickException("an argument is not UTF-8") from None
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise click.ClickException(f"the database: {cause[0] if cause else type(error).__name__}") from None

    return wrapped


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in many containers
        return "of no name"


def show(
    rows: Sequence[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str] = (), empty: str = "Пусто"
) -> None:
    """Prints rows of the same keys: all of them as JSON, for people just the `columns` (all, if none are named)."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, default=_plain, indent=2))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns or rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns or rows[0]))
    # A pipe has no width: there the columns take what they need.
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 10_000)
    console.print(table)


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints one thing with its properties, one a line."""
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False, default=_plain, indent=2))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "—"
        case bool():
            return "да" if value else "нет"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%MZ")
        case _:
            return str(value)
