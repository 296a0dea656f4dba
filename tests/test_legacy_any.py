"""Moving in from whatever calls itself the old database: nothing valid is lost, nothing else gets in, and twice is once."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from krotray_core import billing, clock, ledger_audit, reconciliation
from krotray_core.legacy import take_over, values
from krotray_core.legacy.values import Unfit
from krotray_core.models import Payment
from sandbox.world import SHOP_ID, World
from tests import legacy_kit
from tests.conftest import at_checkout, empty_tables
from tests.legacy_kit import DAY, aware, by_telegram, naive, our_payments, said, server_row

pytestmark = pytest.mark.usefixtures("fresh")

ids = st.integers(1, 6)
SOUND = (1001, 1002)  # there is always somebody among them with whom nothing is wrong
junk = st.sampled_from(
    [None, "", "x", -1, 0, 2**63 - 1, 1.5, b"\xff", "NaN", "\0", "١", "🙂" * 300, "infinity", "0001-01-01"]
)
keys = st.integers(1, 5).map(lambda number: str(UUID(int=number << 40)))
shapes = st.sampled_from([str, lambda key: key.replace("-", ""), str.upper, lambda key: f"{{{key}}}"])
moments = st.integers(-40, 40).map(lambda days: naive(clock.now() + days * DAY + timedelta(hours=1)))
people = st.fixed_dictionaries(
    {"id": st.one_of(ids, ids.map(str), junk), "telegram_id": st.one_of(ids, junk), "username": junk}
)
subscriptions = st.fixed_dictionaries(
    {
        "user_id": st.one_of(ids, ids, junk),
        "status": st.one_of(st.sampled_from(["active", "active", "expired", "revoked"]), junk),
        "expires_at": st.one_of(moments, moments, junk),
        "tariff_months": st.one_of(st.sampled_from([1, "3"]), junk),
        "uuid": st.one_of(st.builds(lambda key, shape: shape(key), keys, shapes), junk),
        "server_id": st.one_of(st.sampled_from([1, "1", 2]), junk),
    }
)
payments = st.fixed_dictionaries(
    {
        "id": st.one_of(ids, junk),
        "user_id": st.one_of(ids, junk),
        "amount": st.one_of(st.sampled_from([100, "250.50", 99.9, 0.001]), junk),
        "currency": st.one_of(st.just("RUB"), junk),
        "status": st.one_of(st.sampled_from(["completed", "pending", "failed", "canceled"]), junk),
        "tariff_months": st.one_of(st.just(1), junk),
        "external_id": st.one_of(st.sampled_from(["2c-1", "2c-2"]), junk),
    }
)
bare = {
    name: ", ".join(column.split()[0] for column in columns.split(", ") if "," not in column)
    for name, columns in legacy_kit.TABLES.items()
}
bare["payments"] = "id, user_id, amount, currency, status, tariff_months, payment_method, external_id, created_at"


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(people, max_size=8),
    st.lists(subscriptions, max_size=10),
    st.lists(payments, max_size=8),
)
def test_any_database(tmp_path: Path, fresh: World, users: list[Any], subs: list[Any], bills: list[Any]) -> None:
    empty_tables()
    users, subs = (
        users + [{"id": one, "telegram_id": one, "username": None} for one in SOUND],
        subs + list(map(_sound, SOUND)),
    )
    with legacy_kit.sqlite(tmp_path) as old:
        old.make(bare)
        old.add("servers", [server_row(fresh.nodes[0])])
        old.add("users", users)
        old.add("subscriptions", [row | {"id": number} for number, row in enumerate(subs)])
        old.add("payments", bills)
        trial = take_over(old.url, dry_run=True, without_refused=True)
        report = take_over(old.url, without_refused=True)
        assert trial.remarks == report.remarks
        for name, counter in report.counts.items():
            ends = Counter(counter)
            assert ends.pop("read") if ends["read"] else True
            assert ends.total() == counter["read"], f"each row of {name} has come to an end of its own"
        assert ledger_audit.verify().faults == ()
        legacy_kit.again(old)
        assert _nothing_valid_is_lost(users, subs) >= len(SOUND)


def _sound(user_id: int) -> dict[str, Any]:
    end = naive(clock.now() + user_id * DAY)
    row = {
        "user_id": user_id,
        "status": "active",
        "expires_at": end,
        "uuid": UUID(int=user_id << 96).hex,
        "server_id": 1,
    }
    return row | {"tariff_months": 1}


def _nothing_valid_is_lost(users: list[Any], subs: list[Any]) -> int:
    """Whoever is themselves (one row, one valid subscription that runs, a key that nobody else has) has it all still.

    Returns how many those are.
    """
    found = 0
    seen = Counter(str(row["id"]) for row in users)
    twice = Counter(row["telegram_id"] for row in users)
    owned = Counter(str(row["user_id"]) for row in subs)
    everybody = Counter(_key(row["uuid"]) for row in subs)
    for row in users:
        mine = [one for one in subs if str(one["user_id"]) == str(row["id"])]
        alone = seen[str(row["id"])] == twice[row["telegram_id"]] == owned[str(row["id"])] == 1
        if not (alone and _valid(row) and everybody[_key(mine[0]["uuid"])] == 1):
            continue
        (subscription,) = mine
        if subscription["status"] != "active" or not _runs(subscription) or _key(subscription["uuid"]) is None:
            continue
        user, ours, seat = by_telegram(row["telegram_id"])
        assert ours
        assert user.id == int(row["id"])
        assert (ours.uuid, ours.expires_at) == (_key(subscription["uuid"]), aware(subscription["expires_at"]))
        assert seat
        assert (seat.email, seat.uuid) == (f"user_{row['id']}", ours.uuid)
        found += 1
    return found


def _valid(row: Any) -> bool:
    known = {*range(1, 7), *SOUND}
    return str(row["id"]) in set(map(str, known)) and row["telegram_id"] in known


def _runs(row: Any) -> bool:
    given = row["expires_at"]
    return isinstance(given, str) and given.startswith("2") and aware(given) > clock.now()


def _key(value: Any) -> UUID | None:
    try:
        return values.key(value)
    except Unfit:
        return None


@pytest.mark.parametrize(
    ("given_", "ours"),
    [
        ("vless://{uuid}@{host}:443?type=tcp#{name}", "vless://{uuid}@{host}:443?type=tcp#{name}"),
        ("vless://{{ user.uuid }}@{{server_host}}:443#Мой сервер", None),
        ("vless://{{ uuid }}@{{server_host}}:443#My server", "vless://{uuid}@{host}:443#My%20server"),
        ("vless://${uuid}@${HOST}:443#%(server_name)s", "vless://{uuid}@{host}:443#{name}"),
        (
            "vless://%s@vpn.example.com:443?flow=xtls-rprx-vision",
            "vless://{uuid}@vpn.example.com:443?flow=xtls-rprx-vision",
        ),
        ("vless://{}@<ip>:443#user_{user_id}", "vless://{uuid}@{host}:443#{email}"),
        ("vless://UUID@h.example:443", "vless://{uuid}@h.example:443"),
        ("vless://{uuid}@{host}:{port}", None),
        ("https://example.com", None),
        ("vless://{uuid}@{host}", None),
    ],
)
def test_templates_of_the_old_service(given_: str, ours: str | None) -> None:
    if ours is None:
        with pytest.raises(Unfit):
            values.template(given_)
    else:
        assert values.template(given_) == ours


@pytest.mark.parametrize(
    ("amount", "kopecks"),
    [
        ("199.90", 199_90),
        (100, 100_00),
        (0.1, 10),
        (99.9, 99_90),
        ("1e2", 100_00),
        ("10.005", None),
        (-1, None),
        ("1e999999", None),
    ],
)
def test_kopecks_are_exact(amount: Any, kopecks: int | None) -> None:
    if kopecks is None:
        with pytest.raises(Unfit):
            values.kopecks(amount)
    else:
        assert values.kopecks(amount) == kopecks


def test_of_several_subscriptions_the_longest_counts(tmp_path: Path, fresh: World) -> None:
    with legacy_kit.sqlite(tmp_path) as old:
        old.make().add("servers", [server_row(fresh.nodes[0])])
        first = old.person(server_id=1, runs=5 * DAY)
        more = {"user_id": first["user_id"], "server_id": 1, "status": "active"}
        longest = more | {"id": 901, "uuid": str(uuid.uuid4()), "expires_at": naive(clock.now() + 9 * DAY)}
        over = more | {"id": 902, "uuid": str(uuid.uuid4()), "expires_at": naive(clock.now() - 9 * DAY)}
        old.add("subscriptions", [longest, over])
        report = take_over(old.url)
        _, ours, _ = by_telegram(first["telegram_id"])
        assert ours
        assert (str(ours.uuid), ours.expires_at) == (longest["uuid"], aware(longest["expires_at"]))
        assert [one.id for one in report.remarks] == [str(first["id"])]
        assert "its key ends" in said(report, "subscriptions")[0]


@pytest.mark.usefixtures("fleet")
def test_who_pays_the_old_services_bill_here_gets_the_days(fresh: World, tmp_path: Path) -> None:
    """Made there minutes before the move: YooKassa has nothing of ours in its metadata, and all else decides."""
    made = [_bill(fresh) for _ in range(4)]
    with legacy_kit.sqlite(tmp_path) as old:
        old.make()
        rows = [old.person(runs=-DAY) for _ in made]
        bill = {
            "amount": 100,
            "currency": "RUB",
            "status": "pending",
            "tariff_months": 1,
            "created_at": naive(clock.now()),
        }
        bills = zip(rows, made, strict=True)
        old.add("payments", [bill | {"user_id": row["user_id"], "external_id": one} for row, one in bills])
        elsewhere = bill | {"user_id": rows[0]["user_id"], "status": "completed", "external_id": "of-another-shop"}
        old.add("payments", [elsewhere])
        assert take_over(old.url).remarks == []
        paid, dear, died, waits = (ours()[external_id] for external_id in made)
        at_checkout(fresh, paid)
        at_checkout(fresh, dear)
        at_checkout(fresh, dear, "tamper", amount="1.00")
        at_checkout(fresh, died, "cancel", reason="expired_on_confirmation")
        states = [billing.settle(payment.id).payment for payment in (paid, dear, died, waits)]
        assert [one.status for one in states] == ["succeeded", "pending", "canceled", "pending"]
        assert states[1].flag_reason is not None
        assert by_telegram(rows[0]["telegram_id"])[2], "the days are there, and a seat"
        # Honoured here; the old service, if it is still there, has done so as well: that is no second time.
        old.change("payments", [{"id": 1}], status="completed")
        assert take_over(old.url).counts["payments"]["same"] == 5
        found = reconciliation.compare(clock.now() - DAY, clock.now() + timedelta(minutes=1))
        assert [one.what for one in found.differences] == ["amount"], "and nothing about the other shop's"


def ours() -> dict[str, Payment]:
    """Our payments by YooKassa's ids."""
    return {payment.external_id or "": payment for payment in our_payments()}


def _bill(world: World) -> str:
    """A payment as the old service made it, with its own metadata."""
    body = {
        "amount": {"value": "100.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://example.com/"},
        "metadata": {"payment_id": "17", "user_id": "5"},
    }
    answer = requests.post(
        f"{world.yookassa_url}/v3/payments",
        json=body,
        headers={"Idempotence-Key": str(uuid.uuid4())},
        auth=(SHOP_ID, world.secret_key),
        timeout=5,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])
