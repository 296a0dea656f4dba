"""The running service, as an operator starts it: bought keys open pages through real VPN clients, and stop doing so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import requests

from sandbox.parts import vpn
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.tour import Tour
from sandbox.world import SHOP_ID, World

# Short, so that the tests need not wait for minutes.
PERIODS = {
    "EXPIRY_SWEEP_SECONDS": "3",
    "SETTLE_SWEEP_SECONDS": "3",
    "REPAIR_SECONDS": "2",
    "WATCH_SECONDS": "1",
    "NOTICES_SECONDS": "1",
}
PATIENCE = 30.0  # seconds, of a test with a busy machine
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of this module's own."""
    made = World(tmp_path_factory.mktemp("service"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(own_world: World) -> Iterator[Service]:
    """web, worker and beat under honcho, with both Xray servers added."""
    made = Service(own_world, processes=("web", "worker", "beat"), settings=PERIODS)
    made.add_servers(own_world)
    yield made
    made.flask("ledger", "verify")
    made.stop()


def sandbox(world: World, method: str, path: str, **body: Any) -> Any:
    """A call of the sandbox YooKassa's control API."""
    answer = requests.request(method, f"{world.yookassa_url}/sandbox/{path}", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def bought(person: Person, tariff: str = "1m") -> dict[str, Any]:
    """Buys, pays, and waits for the key."""
    person.pay(person.buy(tariff)["confirmation_url"])
    return person.wait_for("active")["subscription"]


def expire(service: Service, person: Person) -> None:
    """Lets the subscription run out; the sweep has to notice."""
    service.flask("subscriptions", "set-expiry", str(person.telegram_id), datetime.now(UTC).isoformat())


def test_the_guided_tour(own_world: World, service: Service) -> None:
    steps: list[str] = []
    Tour(own_world, service, steps.append).walk()
    assert len(steps) == 14
    assert steps[-2].endswith("cut off")


def test_a_key_works_while_it_is_paid_for_and_the_old_link_again_after_renewal(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    person = Person(own_world)
    subscription = bought(person)
    with (
        vpn(subscription["vless_url"], tmp_path) as client,
        vpn(subscription["vless_url"].replace(subscription["key"], str(uuid4())), tmp_path) as stranger,
    ):
        assert client.fetch(page)
        assert stranger.fetch(page) is None
        expire(service, person)
        wait_until(lambda: client.fetch(page) is None, seconds=PATIENCE, what="the key to stop working")
        assert person.me()["state"] == "expired"

        payment = person.buy()
        assert client.fetch(page) is None, "asked for is not paid"
        person.pay(payment["confirmation_url"])
        renewed = person.wait_for("active")["subscription"]
        assert renewed["vless_url"] == subscription["vless_url"]
        assert client.fetch(page)


def test_a_live_connection_is_cut_at_expiry_and_nobody_else_is_disturbed(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    leaving, staying = Person(own_world), Person(own_world)
    links = [bought(leaving)["vless_url"], bought(staying)["vless_url"]]
    with vpn(links[0], tmp_path, mux=True) as cut, vpn(links[1], tmp_path, mux=True) as kept:
        assert cut.fetch(page)
        assert kept.fetch(page)
        expire(service, leaving)
        refused = 0.0

        def is_cut() -> bool:
            nonlocal refused
            assert kept.fetch(page), "the other one is not disturbed for a moment"
            began = time.monotonic()
            if cut.fetch(page) is None:
                refused = time.monotonic() - began
                return True
            return False

        wait_until(is_cut, seconds=PATIENCE, what="the live connection to be cut")
        assert refused < 5, "refused at once, not timed out"
        bought(leaving)
        assert cut.fetch(page), "after renewal the same connection goes on"


def test_twenty_copies_of_one_webhook_at_the_same_moment(own_world: World, service: Service) -> None:
    assert service
    sandbox(own_world, "POST", "webhooks", enabled=False)
    try:
        person = Person(own_world)
        external_id = person.pay(person.buy()["confirmation_url"])
        answers = sandbox(own_world, "POST", f"payments/{external_id}/notify", copies=20)
        assert answers["statuses"] == [200] * 20
        assert person.wait_for("active")["subscription"]["days_left"] == 30
        sandbox(own_world, "POST", f"payments/{external_id}/notify", copies=20)
        wait_for_quiet(own_world)
        assert person.me()["subscription"]["days_left"] == 30
    finally:
        sandbox(own_world, "POST", "webhooks", enabled=True)


def wait_for_quiet(world: World) -> None:
    """Until no message is left in the broker's queues."""
    import redis

    with redis.Redis.from_url(world.redis.url) as broker:

        def empty() -> bool:
            return not any(broker.llen(queue) for queue in ("money", "access", "care")) and not broker.hlen("unacked")

        wait_until(empty, seconds=20, what="the queues to be empty")


def test_two_payments_of_one_person_at_the_same_moment(own_world: World, service: Service) -> None:
    assert service
    person = Person(own_world)
    payments = [person.buy(), person.buy(method="sbp")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda payment: person.pay(payment["confirmation_url"]), payments))
    wait_until(lambda: days_left(person) == 60, seconds=20, what="both payments to count")


def days_left(person: Person) -> int:
    """The days that the person sees."""
    subscription = person.me()["subscription"]
    return subscription["days_left"] if subscription else 0


def test_a_forged_webhook_gives_nothing(own_world: World, service: Service) -> None:
    assert service
    person = Person(own_world)
    payment = person.buy()
    external_id = payment["confirmation_url"].rpartition("/")[2]
    forged = {"status": "succeeded", "paid": True}
    answers = sandbox(
        own_world, "POST", f"payments/{external_id}/notify", event="payment.succeeded", object_overrides=forged
    )
    assert answers["statuses"] == [200], "noted, as a hint"
    wait_for_quiet(own_world)
    assert person.payment(payment["payment_id"])["status"] == "pending"
    assert person.me()["state"] == "payment_pending"


def test_another_amount_than_was_asked_gives_nothing_and_is_flagged(own_world: World, service: Service) -> None:
    sandbox(own_world, "POST", "webhooks", enabled=False)
    try:
        person = Person(own_world)
        payment = person.buy()
        external_id = person.pay(payment["confirmation_url"])
        sandbox(own_world, "POST", f"payments/{external_id}/tamper", amount="1.00")
        sandbox(own_world, "POST", f"payments/{external_id}/notify")

        def flagged() -> list[str]:
            return [row["id"] for row in service.flask_json("payments", "list", "--flagged")]

        wait_until(lambda: payment["payment_id"] in flagged(), seconds=20, what="the payment to be flagged", pause=0.5)
        assert person.me()["subscription"] is None
    finally:
        sandbox(own_world, "POST", "webhooks", enabled=True)


def test_money_that_goes_back_ends_access_and_the_person_hears_of_it(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    """Made in YooKassa's own cabinet: half of it first, then the rest."""
    telegram = f"{own_world.telegram_url}/sandbox"
    account = requests.post(f"{telegram}/people", json={"language_code": "ru"}, timeout=5).json()
    requests.post(
        f"{telegram}/message", json={"user_id": account["id"], "text": "/start"}, timeout=5
    ).raise_for_status()
    person = Person(own_world, account["id"])
    payment = person.buy()
    external_id = person.pay(payment["confirmation_url"])
    subscription = person.wait_for("active")["subscription"]
    with vpn(subscription["vless_url"], tmp_path, mux=True) as client:
        assert client.fetch(page)
        refund(own_world, external_id, "50.00")
        wait_until(lambda: days_left(person) == 15, seconds=PATIENCE, what="half of the days to go")
        assert person.payment(payment["payment_id"])["refunded_amount"] == "50.00"
        assert client.fetch(page)
        refund(own_world, external_id, "50.00")
        person.wait_for("expired", seconds=PATIENCE)
        wait_until(lambda: client.fetch(page) is None, seconds=PATIENCE, what="the open connection to be cut")
    assert person.payment(payment["payment_id"])["status"] == "refunded"

    def told() -> list[str]:
        chat = requests.get(f"{telegram}/chat/{account['id']}", timeout=5).json()
        return [message["text"] for message in chat["messages"] if "50 ₽" in (message.get("text") or "")]

    wait_until(lambda: len(told()) == 2, seconds=PATIENCE, what="both messages")
    shown = service.flask_json("payments", "show", payment["payment_id"])
    assert [one["status"] for one in shown["refunds"]] == ["succeeded", "succeeded"]


def refund(world: World, external_id: str, amount: str) -> None:
    """Somebody in YooKassa's cabinet gives money back."""
    requests.post(
        f"{world.yookassa_url}/v3/refunds",
        json={"payment_id": external_id, "amount": {"value": amount, "currency": "RUB"}},
        auth=(SHOP_ID, world.secret_key),
        headers={"Idempotence-Key": str(uuid4())},
        timeout=5,
    ).raise_for_status()


def test_without_any_webhook_the_sweep_settles(own_world: World, service: Service) -> None:
    assert service
    sandbox(own_world, "POST", "webhooks", enabled=False)
    try:
        person = Person(own_world)
        person.pay(person.buy()["confirmation_url"])
        person.wait_for("active", seconds=PATIENCE)
    finally:
        sandbox(own_world, "POST", "webhooks", enabled=True)


def test_a_restarted_xray_has_its_users_back_within_seconds(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    assert service
    subscription = bought(Person(own_world))
    node = next(node for node in own_world.nodes if node.name == subscription["server"]["name"])
    with vpn(subscription["vless_url"], tmp_path) as client:
        assert client.fetch(page)
        node.crash()
        node.start()
        wait_until(lambda: client.fetch(page), seconds=10, what="the users to be back")


def test_paid_without_room_is_served_as_soon_as_a_server_is_added(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    for node in own_world.nodes:
        service.flask("servers", "disable", node.name)
    try:
        person = Person(own_world)
        person.pay(person.buy("3m")["confirmation_url"])
        waiting = person.wait_for("provisioning")["subscription"]
        assert (waiting["days_left"], waiting["vless_url"], waiting["server"]) == (90, None, None)
        third = own_world.add_node("Third")
        service.flask(
            *("servers", "add", "--name", "Third", "--host", "127.0.0.1", "--max-users", "1"),
            *("--grpc-port", str(third.grpc_port), "--vless-url-template", third.vless_url_template),
        )
        served = person.wait_for("active", seconds=PATIENCE)["subscription"]
        assert (served["days_left"], served["server"]) == (90, {"name": "Third"})
        with vpn(served["vless_url"], tmp_path) as client:
            assert client.fetch(page)
    finally:
        for node in own_world.nodes:
            service.flask("servers", "enable", node.name)


def test_a_server_without_routing_api_is_served_without_the_cut_off(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    plain = own_world.add_node("Plain", with_routing_api=False)
    service.flask(
        *("servers", "add", "--name", "Plain", "--host", "127.0.0.1", "--max-users", "50"),
        *("--grpc-port", str(plain.grpc_port), "--vless-url-template", plain.vless_url_template),
    )
    for node in own_world.nodes[:2]:
        service.flask("servers", "disable", node.name)
    try:
        findings = service.flask_json("servers", "check", "Plain")
        assert [row["level"] for row in findings] == ["ok", "ok", "ok", "ok", "warning"]
        person = Person(own_world)
        subscription = bought(person)
        with vpn(subscription["vless_url"], tmp_path) as client:
            assert client.fetch(page)
            expire(service, person)
            wait_until(lambda: client.fetch(page) is None, seconds=PATIENCE, what="the key to stop working")
    finally:
        for node in own_world.nodes[:2]:
            service.flask("servers", "enable", node.name)


def test_nothing_secret_is_in_the_log(own_world: World, service: Service) -> None:
    person = Person(own_world)
    subscription = bought(person)
    requests.get(subscription["subscription_url"], timeout=5).raise_for_status()
    text = service.process.log.read_text(errors="replace")
    secrets = (own_world.secret_key, own_world.bot_token, subscription["key"])
    for secret in (*secrets, subscription["subscription_url"].rpartition("/")[2], "hash="):
        assert secret not in text


def test_it_stops_cleanly_and_leaves_nobody_behind(own_world: World) -> None:
    extra = Service(own_world, database="another", processes=("worker", "beat"), settings=PERIODS)
    family = [psutil.Process(extra.process.pid), *psutil.Process(extra.process.pid).children(recursive=True)]
    assert len(family) >= 5
    began = time.monotonic()
    extra.stop()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert time.monotonic() - began < 15
