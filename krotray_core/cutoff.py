"""The cut-off rule: whoever lost their seat within the last day is sent into the server's blackhole.

Xray's RemoveUser only stops new logins; a client with a live multiplexed connection would go on for hours. One routing rule
of ours on each server holds the e-mails of those removed lately, and is written as a whole from what our seats say.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnExpressionArgument, or_, select, update

from krotray_core import clock
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayUnavailable
from krotray_core.models import Seat, Server

if TYPE_CHECKING:
    from krotray_core.xray.client import XrayClient

# Longer than a write can take with the deadlines of its four calls used up.
LEASE = timedelta(seconds=20)
# A day after the server has heard of a removal the connections from before it are gone.
KEPT = timedelta(days=1)
# Of more than that the latest: replacing a rule of 10,000 takes Xray 9 ms, and a message has to fit it.
MOST = 20_000


def belongs(server_id: int) -> tuple[ColumnExpressionArgument[bool], ...]:
    """Which seats belong into this server's rule: given back, and not confirmed yet or only lately."""
    lately = Seat.gone_at.is_(None) | (Seat.gone_at > clock.now() - KEPT)
    return Seat.server_id == server_id, ~Seat.wanted, lately


def rewrite(server_id: int, xray: XrayClient) -> XrayError | XrayUnavailable | None:
    """Writes the rule anew. A server that cannot have one is served without.

    One worker at a time writes it, so that an older picture never replaces a newer one. Returns what went wrong, if
    anything; XrayUnavailable also when another worker is at it.
    """
    until = _lease(server_id)
    if until is None:
        return XrayUnavailable("another worker is writing the cut-off rule")
    try:
        xray.cut_off(_emails(server_id))
    except (XrayError, XrayUnavailable) as error:
        return error
    finally:
        with transaction() as session:
            held = update(Server).where(Server.id == server_id, Server.rule_leased_until == until)
            session.execute(held.values(rule_leased_until=None))
    return None


def _lease(server_id: int) -> datetime | None:
    now = clock.now()
    with transaction() as session:
        free = or_(Server.rule_leased_until.is_(None), Server.rule_leased_until < now)
        statement = update(Server).where(Server.id == server_id, free).values(rule_leased_until=now + LEASE)
        return session.scalar(statement.returning(Server.rule_leased_until))


def _emails(server_id: int) -> list[str]:
    with transaction() as session:
        lately = select(Seat.email).where(*belongs(server_id))
        return list(session.scalars(lately.order_by(Seat.removed_at.desc()).limit(MOST)))
