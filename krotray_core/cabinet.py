"""What a person sees of their own subscription: one read, no change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import and_, bindparam, literal_column, select

from krotray_core import billing, clock, links, provisioning, settings, users
from krotray_core.models import Payment, Seat, Server, Subscription, Traffic, User
from krotray_core.prepared import Prepared
from krotray_core.users import Known, Person

State = Literal["no_subscription", "payment_pending", "provisioning", "active", "expired"]


class Held(NamedTuple):
    """A subscription as its owner may see it; the columns of `models.Subscription`, and no more than are needed."""

    id: int
    status: str
    expires_at: datetime
    uuid: UUID
    token: str
    tariff_months: int | None
    fetched_at: datetime | None
    waiting_since: datetime | None


class Used(NamedTuple):
    """What has been used in the present period; the columns of `models.Traffic`."""

    used_bytes: int
    since: datetime


class _Place(NamedTuple):
    """The seat."""

    uuid: UUID
    email: str
    dirty: bool


class _At(NamedTuple):
    """The server of the seat."""

    name: str
    host: str
    vless_url_template: str | None


class _Read(NamedTuple):
    """What the one statement finds, None for what there is not."""

    user: Known
    subscription: Held | None
    seat: _Place | None
    server: _At | None
    traffic: Used | None
    payment_id: UUID | None


# Columns and not objects: of the five rows that would be made for each request most would go unread.
_TAKEN = ((User, Known), (Subscription, Held), (Seat, _Place), (Server, _At), (Traffic, Used))


@dataclass(frozen=True, slots=True)
class Cabinet:
    """A person's subscription at this moment. `vless_url` is there only while the key works."""

    state: State
    subscription: Held | None = None
    expires_at: datetime | None = None
    days_left: int = 0
    vless_url: str | None = None
    # The same link also while the server has yet to confirm it: for programs that ask again only after hours.
    coming_url: str | None = None
    subscription_url: str | None = None
    server_name: str | None = None
    # What has been used in the present period, if any server that it was on keeps count.
    traffic: Used | None = None
    # The latest payment that could still be paid, if there is one.
    payment_id: UUID | None = None

    @property
    def running(self) -> bool:
        """Whether there are days left, be the key ready or not."""
        return self.state in ("active", "provisioning")


def of_user(user_id: int) -> Cabinet:
    """The cabinet of a user of ours."""
    return _seen(_read(_by("id"), user_id), clock.now())


def of_token(token: str) -> Cabinet | None:
    """The cabinet behind a subscription link, or None when there is no such link."""
    seen = _seen(_read(_by("token"), token), clock.now())
    return seen if seen.subscription else None


def of_person(person: Person) -> tuple[Known | User, Cabinet]:
    """Greets a person in Telegram and reads their cabinet: with one statement, unless there is something new about them."""
    read = _read(_by("telegram_id"), person.telegram_id)
    known = read is not None and users.is_known(read.user, person)
    return read.user if read is not None and known else users.greet(person), _seen(read, clock.now())


@cache
def _by(name: str) -> Prepared:
    """The statement that finds a cabinet by an `id` or `telegram_id` of its user, or its `token`; made once."""
    whose = Subscription.token if name == "token" else getattr(User, name)
    payable = (
        select(Payment.id)
        .where(
            Payment.user_id == User.id,
            Payment.status == literal_column("'pending'"),
            Payment.flagged_at.is_(None),
            Payment.external_id.is_not(None),
            Payment.created_at > bindparam("payable_since", type_=Payment.created_at.type),
        )
        .order_by(Payment.created_at.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    statement = (
        select(*(getattr(model, name) for model, shape in _TAKEN for name in shape._fields), payable)
        .select_from(User)
        .outerjoin(Subscription, Subscription.user_id == User.id)
        .outerjoin(Seat, and_(Seat.subscription_id == Subscription.id, Seat.wanted))
        .outerjoin(Server, Server.id == Seat.server_id)
        .outerjoin(Traffic, Traffic.subscription_id == Subscription.id)
        .where(whose == bindparam("whose", type_=whose.type))
    )
    return Prepared(f"cabinet by {name}", statement)


def _read(cabinet: Prepared, whose: int | str) -> _Read | None:
    row = cabinet.first(whose=whose, payable_since=clock.now() - billing.PAYABLE)
    return _Read(*_dealt(iter(row))) if row is not None else None


def _dealt(values: Iterator[Any]) -> Iterator[Any]:
    for _, shape in _TAKEN:
        # No row of ours is without a value in its first column.
        part = tuple(islice(values, len(shape._fields)))
        yield shape(*part) if part[0] is not None else None
    yield from values


def _seen(read: _Read | None, now: datetime) -> Cabinet:
    if read is None:
        return Cabinet("no_subscription")
    _, subscription, seat, server, traffic, payment_id = read
    if subscription is None:
        return Cabinet("payment_pending" if payment_id else "no_subscription", payment_id=payment_id)
    link = f"{settings.get().origin}/sub/{subscription.token}"
    end = ends_at(subscription, now)
    if subscription.status != "active" or end <= now:
        state: State = "payment_pending" if payment_id else "expired"
        return Cabinet(state, subscription, end, subscription_url=link, traffic=traffic, payment_id=payment_id)
    url = _vless_url(server, seat) if server is not None and seat is not None else None
    confirmed = seat is not None and not seat.dirty
    return Cabinet(
        "active" if confirmed else "provisioning",
        subscription,
        end,
        days_left=math.ceil((end - now) / timedelta(days=1)),
        vless_url=url if confirmed else None,
        coming_url=url,
        subscription_url=link,
        server_name=server.name if server else None,
        traffic=traffic,
        payment_id=payment_id,
    )


def ends_at(subscription: Subscription | Held, now: datetime) -> datetime:
    """When the days run out: while somebody waits for a place, their days stand still and the end moves on."""
    waited = max(now - subscription.waiting_since, timedelta(0)) if subscription.waiting_since else timedelta(0)
    return subscription.expires_at + waited


def _vless_url(server: _At, seat: _Place) -> str | None:
    template = provisioning.template(server.vless_url_template)
    if not template:
        return None
    return links.vless_url(template, key=seat.uuid, host=server.host, name=server.name, email=seat.email)
