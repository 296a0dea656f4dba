"""Rows of the old database as we understand them. Pure; raises Unfit for a row that cannot be taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from krotray_core.legacy import values
from krotray_core.legacy.values import Unfit

ENDED = ("expired", "ended", "finished", "inactive")
STATUSES = {
    **dict.fromkeys(("completed", "succeeded", "success", "paid"), "succeeded"),
    **dict.fromkeys(("failed", "canceled", "cancelled", "rejected", "expired", "error"), "canceled"),
    **dict.fromkeys(("pending", "created", "new", "waiting", "waiting_for_capture"), "pending"),
    "refunded": "refunded",
}
CARDS = ("", "card", "bank_card", "bankcard", "yookassa", "yoomoney")


@dataclass(frozen=True, slots=True)
class OldUser:
    """A person; `id` is what Xray knows them by: user_<id>."""

    id: int
    telegram_id: int
    username: str | None
    first_name: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class OldSubscription:
    """What a person had. `key` is None where there is none that could be one; `label` names the row in a report."""

    label: str
    user_id: int
    status: str
    expires_at: datetime
    cut: bool
    months: int | None
    key: UUID | None
    server_id: str | None

    def runs(self, now: datetime) -> bool:
        """Whether it lets somebody in now."""
        return self.status == "active" and self.expires_at > now


@dataclass(frozen=True, slots=True)
class OldServer:
    """One Xray. `template` is in our form; `template_fault` says why it is not."""

    id: str
    name: str
    host: str
    grpc_port: int
    max_users: int | None
    enabled: bool
    template: str | None
    template_fault: str | None


@dataclass(frozen=True, slots=True)
class OldPayment:
    """One payment; `status` and `method` are in our words. `identity` is the same at every run."""

    label: str
    identity: str
    user_id: int
    kopecks: int
    status: str
    method: str
    other_method: bool
    months: int | None
    external_id: str | None
    created_at: datetime | None
    paid_at: datetime | None


def label(row: dict[str, Any]) -> str:
    """How a report names a row."""
    return (
        values.shown(row["id"]).strip("'") if row.get("id") is not None else f"user {values.shown(row.get('user_id'))}"
    )


def user(row: dict[str, Any]) -> OldUser:
    """A row of `users`."""
    return OldUser(
        id=values.whole(row["id"], "the id"),
        telegram_id=values.whole(row["telegram_id"], "telegram_id"),
        username=values.text(row.get("username")),
        first_name=values.text(row.get("first_name")),
        created_at=values.moment_or_none(row.get("created_at")),
    )


def subscription(row: dict[str, Any]) -> OldSubscription:
    """A row of `subscriptions`."""
    end = values.moment(row["expires_at"], "the end")
    try:
        found: UUID | None = values.key(row["uuid"])
    except Unfit:
        found = None
    server = row.get("server_id")
    return OldSubscription(
        label=label(row),
        user_id=values.whole(row["user_id"], "user_id"),
        status=values.word(row["status"]),
        expires_at=min(end, values.LAST_END),
        cut=end > values.LAST_END,
        months=_months(row),
        key=found,
        server_id=None if server is None else _reference(server),
    )


def lets_in(row: dict[str, Any], now: datetime) -> bool:
    """Whether a row that cannot be taken is that of somebody who is let in now, as far as one can tell."""
    try:
        values.key(row.get("uuid"))
    except Unfit:
        return False
    end = values.moment_or_none(row.get("expires_at"))
    return values.word(row.get("status")) == "active" and (end is None or end > now)


def server(row: dict[str, Any]) -> OldServer:
    """A row of `servers`; whether its name and host will do is looked at when it is added."""
    name, host = values.text(row["name"]), values.text(row["host"])
    if not name or len(name) > 64 or not name.isprintable():
        raise Unfit("its name is missing, too long or not printable")
    try:
        room: int | None = values.whole(row.get("max_users"), "max_users", most=10**6)
    except Unfit:
        room = None
    given, fault = values.text(row.get("vless_url_template")), None
    whole = row.get("vless_url_template")
    if given and isinstance(whole, str):
        try:
            given = values.template(whole)  # the whole of it, however long
        except Unfit as error:
            given, fault = None, str(error)
    return OldServer(
        id=_reference(row["id"]),
        name=name,
        host=host or "",
        grpc_port=values.whole(row["grpc_port"], "grpc_port", most=65_535),
        max_users=room,
        enabled=values.flag(row.get("enabled")),
        template=given,
        template_fault=fault,
    )


def payment(row: dict[str, Any]) -> OldPayment:
    """A row of `payments`."""
    status, method = values.word(row["status"]), values.word(row.get("payment_method"))
    currency = values.word(row.get("currency")) or "rub"
    if currency != "rub":
        raise Unfit(f"the currency is not RUB: {values.shown(currency)}")
    if status not in STATUSES:
        raise Unfit(f"a status that we do not know: {values.shown(status)}")
    external_id = values.text(row.get("external_id"))
    if row.get("id") is None and external_id is None:
        raise Unfit("neither an id nor an external id: it could not be told apart at a second run")
    made = values.moment_or_none(row.get("created_at"))
    paid = (values.moment_or_none(row.get(name)) for name in ("paid_at", "completed_at", "updated_at"))
    return OldPayment(
        label=label(row),
        identity=_reference(row["id"]) if row.get("id") is not None else f"external {external_id}",
        user_id=values.whole(row["user_id"], "user_id"),
        kopecks=values.kopecks(row["amount"]),
        status=STATUSES[status],
        method="sbp" if "sbp" in method or "сбп" in method else "card",
        other_method=method not in CARDS and "sbp" not in method and "сбп" not in method,
        months=_months(row),
        external_id=external_id,
        created_at=made,
        paid_at=next((one for one in paid if one), made),
    )


def _months(row: dict[str, Any]) -> int | None:
    try:
        return values.whole(row.get("tariff_months"), "tariff_months", most=120)
    except Unfit:
        return None


def _reference(value: Any) -> str:
    """An id in a form in which a number and the same number in a text are one."""
    try:
        return str(values.whole(value, "id", least=-(2**63), most=2**63))
    except Unfit:
        return values.text(value) or ""
