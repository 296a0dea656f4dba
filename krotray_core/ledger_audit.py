"""Does the ledger add up? The present state of every payment, refund and subscription is recomputed from its lines.

One snapshot, a handful of statements over whole tables; what they find is somebody's hand in the database, or a fault of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text

from krotray_core import clock, ledger
from krotray_core.db import transaction
from krotray_core.models import Entry, Payment, Subscription

# Each finds things (kind, id) of which the sentence beside it is not true, and says what is there instead.
CHECKS = {
    "a payment is in the state that its last line says": """
        SELECT 'payment', p.id::text, 'is ' || p.status || ', the ledger says ' || coalesce(line.status, 'nothing')
        FROM payments p LEFT JOIN LATERAL (
            SELECT status FROM ledger WHERE payment_id = p.id AND subject = 'payment' ORDER BY id DESC LIMIT 1
        ) line ON true
        WHERE line.status IS DISTINCT FROM p.status""",
    "what came in for a payment and went back is the sum of its lines": """
        SELECT 'payment', p.id::text, 'holds ' || held || ' kopecks, the ledger says ' || said
        FROM payments p
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p.status IN ('succeeded', 'refunded') THEN p.amount_kopecks - p.refunded_kopecks ELSE 0 END held
        ) row_
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(kopecks), 0) said FROM ledger WHERE payment_id = p.id AND subject = 'payment'
        ) line
        WHERE held <> said""",
    "a refund is in the state that its last line says": """
        SELECT 'refund', r.id::text, 'is ' || r.status || ', the ledger says ' || coalesce(line.status, 'nothing')
        FROM refunds r LEFT JOIN LATERAL (
            SELECT status, kopecks FROM ledger WHERE payment_id = r.payment_id AND refund_id = r.id AND subject = 'refund'
            ORDER BY id DESC LIMIT 1
        ) line ON true
        WHERE line.status IS DISTINCT FROM r.status
            OR line.kopecks IS DISTINCT FROM CASE r.status WHEN 'succeeded' THEN -r.amount_kopecks ELSE 0 END""",
    "a line names the user whose thing it is about": """
        SELECT 'line', l.id::text, 'names user ' || l.user_id
        FROM ledger l
        LEFT JOIN payments p ON p.id = l.payment_id
        LEFT JOIN subscriptions s ON s.id = l.subscription_id
        WHERE l.user_id <> coalesce(p.user_id, l.user_id) OR l.user_id <> coalesce(s.user_id, l.user_id)""",
    "what went back of a payment is the sum of its refunds": """
        SELECT 'payment', p.id::text, 'gave back ' || p.refunded_kopecks || ' kopecks, its refunds make ' || said
        FROM payments p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_kopecks), 0) said FROM refunds WHERE payment_id = p.id AND status = 'succeeded'
        ) sums
        WHERE p.refunded_kopecks <> said AND NOT EXISTS (
            SELECT FROM ledger WHERE payment_id = p.id AND event IN ('opening', 'adopted') AND status = 'refunded')""",
    "refunds took the share of the days that their money stands for": """
        SELECT 'payment', p.id::text, 'its refunds took ' || taken || ' seconds, their share is ' || due
        FROM payments p
        JOIN (SELECT payment_id, sum(taken_seconds) taken FROM refunds GROUP BY 1) sums ON sums.payment_id = p.id
        CROSS JOIN LATERAL (SELECT p.days * 86400 * p.refunded_kopecks / p.amount_kopecks due) share
        WHERE coalesce(taken, 0) <> due""",
    "a subscription has the end and the state that its last line says": """
        SELECT 'subscription', s.id::text,
            s.status || ' until ' || s.expires_at || ', the ledger says '
            || coalesce(line.status || ' until ' || line.ends_at, 'nothing')
        FROM subscriptions s LEFT JOIN LATERAL (
            SELECT status, ends_at FROM ledger WHERE subscription_id = s.id AND subject = 'subscription'
            ORDER BY id DESC LIMIT 1
        ) line ON true
        WHERE (line.status, line.ends_at) IS DISTINCT FROM (s.status, s.expires_at)""",
    "each line of a subscription begins where the one before it ended": """
        SELECT 'line', id::text, 'begins at ' || coalesce(ended_at::text, 'nothing') || ', the one before ended at '
            || coalesce(before::text, 'nothing')
        FROM (
            SELECT id, ended_at, event, lag(ends_at) OVER (PARTITION BY subscription_id ORDER BY id) before
            FROM ledger WHERE subject = 'subscription'
        ) line
        WHERE ended_at IS DISTINCT FROM before""",
    "days count from the end, or from their own moment if that has passed": """
        SELECT 'line', id::text, event || ' counts from ' || starts_at
        FROM ledger
        WHERE subject = 'subscription' AND event NOT IN ('opening', 'adopted') AND starts_at IS DISTINCT FROM ended_at
            AND NOT (event IN ('paid', 'granted') AND starts_at = at AND (ended_at IS NULL OR ended_at < at))""",
    "running out and changing the key move no end": """
        SELECT 'line', id::text, event || ' moved the end by ' || (ends_at - starts_at)
        FROM ledger
        WHERE subject = 'subscription' AND event IN ('opening', 'adopted', 'expired', 'key_rotated') AND ends_at <> starts_at""",
    "a payment that counts has given its days, once": """
        SELECT 'payment', p.id::text, p.status || ', gave its days ' || given || ' times'
        FROM payments p
        CROSS JOIN LATERAL (
            SELECT count(*) given FROM ledger WHERE payment_id = p.id AND subject = 'subscription' AND event = 'paid'
        ) lines
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE event = 'opening' AND status IN ('succeeded', 'refunded')) opened,
                count(*) FILTER (WHERE event = 'adopted') adopted
            FROM ledger WHERE payment_id = p.id AND subject = 'payment'
        ) known
        WHERE given <> (p.status IN ('succeeded', 'refunded') AND opened = 0)::int AND (adopted = 0 OR given > 1)""",
    "a payment gave as many days as were sold": """
        SELECT 'line', l.id::text, 'gave ' || extract(epoch FROM l.ends_at - l.starts_at) || ' seconds for ' || p.days || ' days'
        FROM ledger l JOIN payments p ON p.id = l.payment_id
        WHERE l.subject = 'subscription' AND l.event = 'paid'
            AND extract(epoch FROM l.ends_at - l.starts_at) <> p.days * 86400""",
    "a refund that counts has taken its days, once": """
        SELECT 'refund', r.id::text, r.status || ', took days ' || times || ' times, in all ' || took || ' seconds'
        FROM refunds r
        CROSS JOIN LATERAL (
            SELECT count(*) times, coalesce(sum(extract(epoch FROM starts_at - ends_at)), 0) took FROM ledger
            WHERE payment_id = r.payment_id AND refund_id = r.id AND subject = 'subscription'
        ) lines
        WHERE times <> (r.status = 'succeeded')::int OR took <> coalesce(r.taken_seconds, 0)""",
}

MOST_FAULTS = 100  # of each kind: more would not help anybody


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the ledger does not add up: the rule, and the thing (payment, refund, subscription, line) that breaks it."""

    rule: str
    kind: str
    thing: str
    found: str


@dataclass(frozen=True, slots=True)
class Audit:
    """How many lines were read, and what is wrong with them."""

    lines: int
    faults: tuple[Fault, ...]


def verify() -> Audit:
    """Recomputes the present state from the ledger. Changes nothing."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        session.execute(text("SET TRANSACTION READ ONLY"))
        session.execute(text("SET LOCAL statement_timeout = 0"))
        faults = [
            Fault(rule, *row)
            for rule, statement in CHECKS.items()
            for row in session.execute(text(f"{statement} ORDER BY 1, 2 LIMIT {MOST_FAULTS}"))
        ]
        lines = session.scalar(select(func.count()).select_from(Entry)) or 0
    return Audit(lines, tuple(faults))


def adopt(reason: str) -> int:
    """Takes the present state of every payment and subscription that does not add up as it is: a line about each says so.

    For what an older version changed during an upgrade, or a person by hand. Returns how many lines that took.
    """
    now = clock.now()
    strays = {(fault.kind, fault.thing) for fault in verify().faults}
    with transaction() as session:
        for kind, thing in sorted(strays):
            if kind == "payment":
                ledger.adopt_payment(session, session.get_one(Payment, UUID(thing), with_for_update=True), reason, now)
            elif kind == "subscription":
                row = session.get_one(Subscription, int(thing), with_for_update=True)
                ledger.adopt_subscription(session, row, reason, now)
    return sum(kind in ("payment", "subscription") for kind, _ in strays)
