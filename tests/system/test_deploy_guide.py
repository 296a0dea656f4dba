"""docs/deploy.md, followed word for word on a bare Debian, up to a purchase, an update, and back from a dump."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from sandbox.parts import vpn
from sandbox.person import Person
from sandbox.process import listening, wait_until
from sandbox.world import SHOP_ID, World
from tests import pages
from tests.system.guide_kit import HOST, Machine, steps
from tests.test_reality import SITE, certificate

YOOKASSA = "127.0.0.77"  # plays one of YooKassa's addresses
pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """YooKassa and Telegram."""
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.stop()


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A bare Debian, in a folder that Debian's PostgreSQL can reach too."""
    folder = Path(tempfile.mkdtemp(prefix="krotray-guide-"))
    folder.chmod(0o755)
    made = Machine(folder, world)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", made.authority.ca)
    try:
        made.start_servers()
        made.start_shell()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_both_languages_have_the_same_steps() -> None:
    english, russian = steps("deploy.md"), steps("deploy.ru.md")
    assert list(russian) == list(english)
    for name, block in english.items():
        assert _bare(russian[name]) == _bare(block), name


def _bare(block: str) -> str:
    """Without comments."""
    return re.sub(r"\s+# .*", "", block)


def test_the_guide_ends_in_a_purchase_and_survives_its_own_backup(
    world: World, machine: Machine, tmp_path: Path
) -> None:
    with pages.serving(certificate(tmp_path)) as site, pages.serving() as page:
        install(world, machine, site)
        person = Person(
            SimpleNamespace(
                web_url=f"https://{HOST}:{machine.ports.https}",
                bot_token=world.bot_token,
                yookassa_url=world.yookassa_url,
            )
        )  # type: ignore[arg-type]
        key = buy(world, person)
        with vpn(key, tmp_path) as client:
            assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT
            update(machine)
            assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT, "nobody's VPN notices an update"
            machine.step("backup")
            lose_everything(machine)
            assert client.fetch(f"http://127.0.0.1:{page}/") is None, "Xray has forgotten everybody"
            machine.step("restore", seconds=120)
            back = lambda: client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT  # noqa: E731
            wait_until(back, seconds=90, what=f"everybody to be back\n{machine.log('krotray-worker')[-2000:]}")
        assert person.wait_for("active")["subscription"]["vless_url"] == key
    assert not machine.steps, "every block of the guide was run"


def install(world: World, machine: Machine, site: int) -> None:
    """The first time."""
    values = {"BOT_TOKEN": world.bot_token, "SHOP_ID": SHOP_ID, "SHOP_KEY": world.secret_key}
    machine.step("names", HOST=HOST, REPOSITORY=str(machine.origin), **values)
    machine.step("packages", seconds=300)
    machine.step("code", seconds=240)
    more = {
        "YOOKASSA_API_URL": f"{world.yookassa_url}/v3",
        "TELEGRAM_API_URL": world.telegram_url,
        "YOOKASSA_NETWORKS": f"{YOOKASSA}/32",
        "PORT": str(machine.ports.web),
        "FLOWER_PORT": str(machine.ports.flower),
    }
    lines = "".join(f"{name}={value}\n" for name, value in more.items())
    machine.steps["settings"] = machine.steps["settings"].replace("\nEND\n", f"\n{lines}END\n")
    machine.step("settings")
    machine.step("migrate")
    machine.step("nginx")
    machine.step("start")
    options = f"--port {machine.xray_port} --grpc-port {machine.api_port} --target 127.0.0.1:{site}"
    machine.steps["keygen"] = machine.steps["keygen"].replace(
        "--port 8443 --site www.example.com", f"{options} --site {SITE}"
    )
    machine.step("keygen")
    allow_loopback(machine.at("/var/lib/krotray/main.json"))
    machine.steps["xray"] = (
        machine.steps["xray"]
        .replace("-g nogroup", "-g root")
        .replace(
            "systemctl restart xray",
            f"systemctl restart xray; until (echo > /dev/tcp/{HOST}/{machine.api_port}) 2> /dev/null; do :; done",
        )
    )
    assert f"Добавлен сервер: Main {HOST}:{machine.api_port} (max_users=100)" in machine.step("xray")
    running(machine)
    assert "failed" not in machine.step("check")


def running(machine: Machine) -> None:
    """The ten seconds of the guide."""

    def ready() -> bool:
        worker, beat = machine.log("krotray-worker"), machine.log("krotray-beat")
        return (
            " ready." in worker.rpartition("[config]")[2]
            and "fires from now on" in beat
            and listening(machine.ports.web)
        )

    wait_until(
        ready,
        seconds=90,
        what=f"the processes\n{machine.log('krotray-web')[-1500:]}\n{machine.log('krotray-worker')[-1500:]}",
    )


def allow_loopback(config: Path) -> None:
    """The page of the test is on loopback, where Xray lets nobody through by itself."""
    read = json.loads(config.read_text())
    read["outbounds"][0]["settings"] = {"finalRules": [{"action": "allow"}]}
    config.write_text(json.dumps(read))


def buy(world: World, person: Person) -> str:
    """A purchase through nginx; the notification comes from YooKassa's address, and one from a stranger's is turned away."""
    bought = person.buy()
    external_id = person.pay(bought["confirmation_url"])
    told: dict[str, Any] = {
        "type": "notification",
        "event": "payment.succeeded",
        "object": {"id": external_id, "status": "succeeded", "metadata": {"payment_id": bought["payment_id"]}},
    }
    assert world
    url = person._world.web_url
    assert notify(url, told, "127.0.0.66", **{"X-Forwarded-For": YOOKASSA}) == 403
    assert person.me()["state"] == "payment_pending"
    assert notify(url, told, YOOKASSA) == 200
    return str(person.wait_for("active", seconds=15)["subscription"]["vless_url"])


def notify(url: str, told: dict[str, Any], source: str, **headers: str) -> int:
    """A webhook from this address."""
    with requests.Session() as session:
        adapter = requests.adapters.HTTPAdapter()
        adapter.poolmanager.connection_pool_kw["source_address"] = (source, 0)
        session.mount("https://", adapter)
        return session.post(f"{url}/api/payments/webhook", json=told, headers=headers, timeout=10).status_code


def update(machine: Machine) -> None:
    """A newer version comes, with a new setting; then back to the one before."""
    example = machine.origin / ".env.example"
    example.write_text(example.read_text() + "# New.\nNEW_SETTING=1\n")
    machine.commit("a newer version")
    machine.step("update")
    assert "+NEW_SETTING=1" in machine.step("new-settings")
    machine.step("install", seconds=120)
    machine.step("migrate-again")
    machine.step("restart", seconds=120)
    running(machine)
    assert "failed" not in machine.step("check-again")
    machine.step("no-gap", seconds=120)
    machine.step("rollback", seconds=180)
    running(machine)
    assert "NEW_SETTING" not in (machine.at("/opt/krotray") / ".env.example").read_text()


def lose_everything(machine: Machine) -> None:
    """The database and the settings are gone, and Xray was restarted."""
    machine.steps |= {
        "lost": "systemctl stop krotray\nrunuser -u postgres -- dropdb krotray\nrm /opt/krotray/.env\nsystemctl restart xray\n"
    }
    machine.step("lost", seconds=120)
    wait_until(lambda: listening(machine.api_port), seconds=20, what="Xray")
