"""Keys: a new one works within seconds and the old one does not; two that Xray cannot tell apart never exist; who is online."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from krotray_core import cabinet, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Server, Subscription, User
from krotray_core.xray.operations import same_key
from sandbox.parts import vpn
from sandbox.process import wait_until
from tests.cli.kit import Admin
from tests.conftest import converge_all, new_user


def masked_twin(key: UUID) -> UUID:
    """Another key that Xray takes for the same."""
    changed = bytearray(key.bytes)
    changed[6] ^= 0xFF
    changed[7] ^= 0xFF
    return UUID(bytes=bytes(changed))


@pytest.mark.usefixtures("fleet")
@pytest.mark.writes_past_the_ledger
def test_two_keys_that_xray_cannot_tell_apart_are_refused(user: User) -> None:
    key = subscriptions.grant(user.telegram_id, 1).subscription.uuid
    twin = masked_twin(key)
    assert same_key(key, twin)
    other = subscriptions.grant(new_user().telegram_id, 1).subscription
    with pytest.raises(IntegrityError), transaction() as session:
        session.get_one(Subscription, other.id).uuid = twin
    with transaction() as session:
        assert session.scalar(select(Subscription.uuid).where(Subscription.id == other.id)) == other.uuid


def test_after_a_rotation_the_new_key_works_and_the_old_one_does_not(
    fleet: list[Server], user: User, page: str, tmp_path: Path
) -> None:
    assert fleet
    subscriptions.grant(user.telegram_id, 1)
    converge_all()
    old = cabinet.of_user(user.id).vless_url
    subscriptions.rotate_key(user.telegram_id)
    converge_all()
    new = cabinet.of_user(user.id).vless_url
    assert old
    assert new
    assert old != new
    with vpn(old, tmp_path) as before, vpn(new, tmp_path) as after:
        assert before.fetch(page) is None
        assert after.fetch(page)


def test_a_connection_that_is_open_under_the_old_key_is_cut(
    fleet: list[Server], user: User, page: str, tmp_path: Path
) -> None:
    """The key moves to another server, and the one before cuts off who is still connected."""
    assert len(fleet) == 2
    neighbour = new_user()
    for one in (user, neighbour):
        subscriptions.grant(one.telegram_id, 1)
    converge_all()
    before, beside = cabinet.of_user(user.id), cabinet.of_user(neighbour.id)
    assert before.vless_url
    assert beside.vless_url
    with vpn(before.vless_url, tmp_path, mux=True) as thief, vpn(beside.vless_url, tmp_path, mux=True) as other:
        assert thief.fetch(page)
        assert other.fetch(page)
        subscriptions.rotate_key(user.telegram_id)
        converge_all()
        assert thief.fetch(page) is None
        assert other.fetch(page), "nobody else is disturbed"
    after = cabinet.of_user(user.id)
    assert after.server_name != before.server_name
    assert after.vless_url
    with vpn(after.vless_url, tmp_path) as owner:
        assert owner.fetch(page)


def test_who_is_online_is_seen_with_their_addresses(
    app: object, alone: Server, user: User, page: str, tmp_path: Path
) -> None:
    from flask import Flask

    assert isinstance(app, Flask)
    admin = Admin(app)
    subscriptions.grant(user.telegram_id, 1)
    converge_all()
    assert admin("servers", "online", alone.name) == "Никто не подключён\n"
    vless_url = cabinet.of_user(user.id).vless_url
    assert vless_url
    # Xray does not count 127.0.0.1.
    with (
        vpn(vless_url, tmp_path, mux=True, source="127.0.0.5") as phone,
        vpn(vless_url, tmp_path, mux=True, source="127.0.0.6") as laptop,
    ):
        assert phone.fetch(page)
        assert laptop.fetch(page)
        wait_until(lambda: provisioning.client(alone).online(), seconds=10, what="somebody to be online")
        (row,) = admin.json("servers", "online", alone.name)
        assert (row["email"], row["devices"], row["addresses"]) == (f"user_{user.id}", 2, "127.0.0.5, 127.0.0.6")
    admin.fails("servers", "online", "Nowhere")
