"""YooKassa, over its SDK: deadlines, our own errors, and answers read without trust.

The SDK builds requests, signs them and names itself; what it does not do (time out, tell failures apart, keep quiet about the
Authorization header, stay away from proxies and ~/.netrc) is done in `client`; `answers` is what we believe of what
comes back. Amounts are kopecks, times aware. https://yookassa.ru/developers/api
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from yookassa.domain.request import PaymentRequest, RefundRequest

from krotray_core import settings
from krotray_core.errors import GatewayNotFound, GatewayUnavailable, GatewayUnreadable
from krotray_core.yookassa import answers
from krotray_core.yookassa.answers import ID, Found, FoundRefund, Shop
from krotray_core.yookassa.client import Client as _Client

__all__ = [
    "ID",
    "Found",
    "FoundRefund",
    "Shop",
    "create",
    "create_refund",
    "fetch",
    "fetch_refund",
    "payments_between",
    "refunds_between",
    "refunds_of",
    "shop",
]

PAGE = 100  # the most that YooKassa gives at once
MOST_PAGES = 1000  # a list that is longer than this has no end

log = logging.getLogger(__name__)
_Item = TypeVar("_Item", Found, FoundRefund)


def shop() -> Shop:
    """GET /me: the shop behind our login. Raises GatewayDenied for a wrong login, GatewayError, GatewayUnavailable.

    https://yookassa.ru/developers/api#me
    """
    return answers.shop(_client().get("/me"))


def create(body: dict[str, Any], idempotence_key: str) -> Found:
    """POST /payments. The same key and body give the same payment for 24 hours.

    Raises GatewayError when YooKassa refuses (nothing was made), GatewayUnavailable when it is unknown what happened.
    https://yookassa.ru/developers/api#create_payment
    """
    return answers.payment(_client().post("/payments", PaymentRequest, body, idempotence_key))


def fetch(external_id: str) -> Found:
    """GET /payments/{id}. Raises GatewayNotFound, GatewayError, GatewayUnavailable.

    https://yookassa.ru/developers/api#get_payment
    """
    found = answers.payment(_client().get(f"/payments/{_checked(external_id)}"))
    if found.external_id != external_id:
        raise GatewayUnavailable("YooKassa answered with another payment")
    return found


def create_refund(body: dict[str, Any], idempotence_key: str) -> FoundRefund:
    """POST /refunds of `{payment_id, amount: {value, currency}, metadata: {refund_id}, description?, receipt?}`.

    The same key and body give the same refund for 24 hours; it may be pending, or canceled already.
    Raises GatewayError when YooKassa refuses (nothing was made), for instance because less than this is left of the
    payment; GatewayUnavailable when it is unknown what happened. https://yookassa.ru/developers/api#create_refund
    """
    found = answers.refund(_client().post("/refunds", RefundRequest, body, idempotence_key))
    if found.payment_external_id != body["payment_id"]:
        raise GatewayUnavailable("YooKassa answered with a refund of another payment")
    return found


def fetch_refund(external_id: str) -> FoundRefund:
    """GET /refunds/{id}. Raises GatewayNotFound, GatewayError, GatewayUnavailable.

    https://yookassa.ru/developers/api#get_refund
    """
    found = answers.refund(_client().get(f"/refunds/{_checked(external_id)}"))
    if found.external_id != external_id:
        raise GatewayUnavailable("YooKassa answered with another refund")
    return found


def refunds_of(payment_external_id: str) -> list[FoundRefund]:
    """GET /refunds?payment_id=...: all refunds of a payment, in whatever state, newest first; none of an unknown one.

    All or nothing: raises GatewayUnavailable also when one of them cannot be read or belongs to another payment, for a sum
    over an incomplete list would be wrong. Raises GatewayNotFound for what is no id, GatewayError.
    https://yookassa.ru/developers/api#get_refunds_list
    """
    query = {"payment_id": _checked(payment_external_id)}
    found = list(_listed("/refunds", query, answers.refund))
    if any(refund.payment_external_id != payment_external_id for refund in found):
        raise GatewayUnavailable("YooKassa answered with refunds of another payment")
    return found


def payments_between(since: datetime, until: datetime) -> Iterator[Found]:
    """GET /payments: every payment of the shop created in [since, until), newest first. Only the last three years are there.

    The moments are aware and cut to milliseconds; ValueError for naive ones. Pages are asked for while the iterator is
    used, so it may raise GatewayUnavailable and GatewayError at any item. A payment that cannot be read hides no
    other one: it is logged and left out, and GatewayUnreadable is raised *after* the last readable one. So take the
    items one by one, and call the list complete only when it ends without an error.
    https://yookassa.ru/developers/using-api/lists
    """
    return _listed("/payments", _window(since, until), answers.payment)


def refunds_between(since: datetime, until: datetime) -> Iterator[FoundRefund]:
    """GET /refunds: every refund created in [since, until), whenever its payment was; otherwise as `payments_between`."""
    return _listed("/refunds", _window(since, until), answers.refund)


def _listed(path: str, query: dict[str, str], read: Callable[[Any], _Item]) -> Iterator[_Item]:
    unreadable = 0
    for item in _items(path, query):
        try:
            found = read(item)
        except GatewayUnavailable as error:
            log.warning("an item of YooKassa's %s was left out: %s: %s", path, answers.id_of(item), error)
            unreadable += 1
        else:
            yield found
    if unreadable:
        raise GatewayUnreadable(f"YooKassa's {path} hold {unreadable} that cannot be read")


def _items(path: str, query: dict[str, str]) -> Iterator[Any]:
    """The items of all pages, unread. The filters go with every page, as in YooKassa's own examples."""
    query |= {"limit": str(PAGE)}
    seen = set[str]()
    for _ in range(MOST_PAGES):
        page = answers.page(_client().get(path, query))
        yield from page.items
        if page.next_cursor is None:
            return
        if page.next_cursor in seen:
            raise GatewayUnavailable(f"YooKassa's {path} go in a circle")
        seen.add(page.next_cursor)
        query |= {"cursor": page.next_cursor}
    raise GatewayUnavailable(f"YooKassa's {path} have no end")


def _window(since: datetime, until: datetime) -> dict[str, str]:
    return {"created_at.gte": _text(since), "created_at.lt": _text(until)}


def _text(moment: datetime) -> str:
    """UTC, milliseconds, Z. Cut, not rounded: windows that touch neither overlap nor leave a gap."""
    if moment.tzinfo is None:
        raise ValueError("a naive moment")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _checked(external_id: str) -> str:
    if not ID.fullmatch(external_id):  # "a/../../me" would ask for something else
        raise GatewayNotFound("not an id of YooKassa's")
    return external_id


@cache
def _client() -> _Client:
    s = settings.get()
    return _Client(s.yookassa_api_url, s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value())


os.register_at_fork(after_in_child=_client.cache_clear)  # a child must not share its parent's connections
