"""docs/deploy.md, followed word for word on a bare Debian, up to a purchase, an update, and back from a dump."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from alembic.script import ScriptDirectory

from sandbox.parts import vpn
from sandbox.person import Person
from sandbox.process import free_port, listening, wait_until
from sandbox.world import SHOP_ID, World
from tests import pages
from tests.system.guide_kit import HOST, Machine
from tests.test_reality import SITE, certificate

YOOKASSA = "127.0.0.77"  # plays one of YooKassa's addresses
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "feedfacecafe", "{head}", None, None


def upgrade():
    op.create_table("newer", sa.Column("id", sa.Integer, primary_key=True))
"""
pytestmark = pytest.mark.timeout(900)


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
        another_server(machine, site)
        with vpn(key, tmp_path) as client:
            assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT
            update(machine)
            assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT, "nobody's VPN notices an update"
            backup(machine)
            lose_everything(machine)
            assert client.fetch(f"http://127.0.0.1:{page}/") is None, "there is no Xray any more"
            restore(machine)
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
    machine.believe_certificates()
    more = {
        "YOOKASSA_API_URL": f"{world.yookassa_url}/v3",
        "TELEGRAM_API_URL": world.telegram_url,
        "YOOKASSA_NETWORKS": f"{YOOKASSA}/32",
        "SETTLE_SWEEP_SECONDS": "86400",  # a payment is settled because YooKassa has told of it
        "PORT": str(machine.ports.web),
        "FLOWER_PORT": str(machine.ports.flower),
    }
    lines = "".join(f"{name}={value}\n" for name, value in more.items())
    machine.steps["settings"] = (
        machine.steps["settings"]
        .replace("\nEND\n", f"\n{lines}END\n")
        .replace("https://$HOST/app/", f"https://$HOST:{machine.ports.https}/app/")
    )
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
    await_xray(machine, "xray", machine.api_port)
    assert f"Добавлен сервер: Main {HOST}:{machine.api_port} (max_users=100)" in machine.step("xray")
    running(machine)
    assert "failed" not in machine.step("check")


def restart(machine: Machine, step: str, *, seconds: float) -> None:
    """A step that starts everything anew."""
    machine.step(step, seconds=seconds)
    running(machine)


def running(machine: Machine) -> None:
    """The ten seconds of the guide."""

    def ready() -> bool:
        worker, beat = (machine.log(name) for name in ("krotray-worker", "krotray-beat"))
        return " ready." in worker and "fires from now on" in beat and listening(machine.ports.web)

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


def await_xray(machine: Machine, step: str, port: int) -> None:
    """Has the block wait where an operator would have been slower than Xray."""
    restart = "systemctl restart xray"
    assert restart in machine.steps[step]
    machine.steps[step] = machine.steps[step].replace(
        restart, f"{restart}; until (echo > /dev/tcp/{HOST}/{port}) 2> /dev/null; do :; done"
    )


def another_server(machine: Machine, site: int) -> None:
    """On a second machine, which leaves the first one's Xray and its keys alone; once more, and nothing is lost either."""
    here = machine.at("/usr/local/etc/xray/config.json")
    before, port = here.read_text(), free_port()
    options = f"--port {free_port()} --grpc-port {port} --target 127.0.0.1:{site} --site {SITE}"
    machine.steps["second"] = machine.steps["second"].replace("--port 443 --site www.example.com", options)
    machine.step("second", SECOND=HOST, PRIVATE=HOST)
    line = machine.at("/opt/krotray/add-second.sh").read_text()
    await_xray(machine, "second-xray", port)
    machine.step("second-xray")
    there = machine.at("/second/usr/local/etc/xray/config.json").read_text()
    assert there == machine.at("/var/lib/krotray/second.json").read_text() != before
    assert here.read_text() == before
    machine.step("second-add")
    assert "File exists" in machine.again("second")
    assert machine.at("/opt/krotray/add-second.sh").read_text() == line, "what went wrong does not empty it"
    assert machine.at("/var/lib/krotray/second.json").read_text() == there


def update(machine: Machine) -> None:
    """A newer version comes, with a new setting and a migration; then back to the one before."""
    example = machine.origin / ".env.example"
    example.write_text(example.read_text() + "# New.\nNEW_SETTING=1\n")
    head = ScriptDirectory(str(machine.origin / "migrations")).get_current_head()
    migration = machine.origin / "migrations" / "versions" / "newer.py"
    migration.write_text(MIGRATION.format(head=head))
    machine.commit("a newer version")
    machine.step("update")
    assert_private(machine, "krotray-before.dump")
    assert "+NEW_SETTING=1" in machine.step("new-settings")
    machine.step("install", seconds=120)
    machine.step("migrate-again")
    restart(machine, "restart", seconds=120)
    assert "failed" not in machine.step("check-again")
    machine.step("no-gap", seconds=120)
    unit = machine.at("/usr/local/lib/systemd/system/krotray-bot.service")
    unit.write_text(f"{unit.read_text()}# a newer version's\n")
    said = machine.step("which-way")
    assert "migrations/versions/newer.py" in said
    assert "DATABASE" in said
    machine.step("rollback-database", seconds=120)
    restart(machine, "rollback", seconds=180)
    assert "NEW_SETTING" not in (machine.at("/opt/krotray") / ".env.example").read_text()
    assert "# a newer version's" not in unit.read_text(), "the old units are back"
    assert f"is at version {head}" in machine.again("check")


def assert_private(machine: Machine, *names: str) -> None:
    """Backups are for root's eyes."""
    for name in names:
        assert machine.at(f"/var/backups/{name}").stat().st_mode & 0o777 == 0o600, name


def backup(machine: Machine) -> None:
    """With a certificate, of which the database would know the path alone."""
    machine.at("/etc/krotray/ca.pem").write_text("a certificate")
    machine.step("backup")
    assert_private(machine, "krotray.dump", "krotray.tar")
    assert not list(machine.at("/var/backups").glob("*.new"))


def lose_everything(machine: Machine) -> None:
    """Nothing is left but the backup (and Python's packages, which take long to install)."""
    machine.step("restore-stop", seconds=60)
    lost = (
        "systemctl stop xray",
        "systemctl stop nginx",
        "runuser -u postgres -- dropdb krotray",
        "runuser -u postgres -- dropuser krotray",
        f"mv /opt/krotray/.venv {machine.folder}/packages",
        "cd /",
        "rm -r /opt/krotray /var/lib/krotray /etc/krotray /usr/local/etc/xray/config.json",
        "rm -r /usr/local/lib/systemd/system/krotray* /etc/nginx/sites-*/krotray",
    )
    machine.steps["lost"] = "\n".join(lost) + "\n"
    machine.step("lost", seconds=60)


def restore(machine: Machine) -> None:
    """On a new machine, in the order that the guide says."""
    machine.again("packages", seconds=120)
    machine.steps["code"] = machine.typed["code"].replace("python3 -m venv", f"mv {machine.folder}/packages .venv; #")
    machine.step("code", seconds=120)
    machine.step("restore", seconds=120)
    assert machine.at("/etc/krotray/ca.pem").read_text() == "a certificate"
    machine.again("nginx")
    machine.again("start")
    await_xray(machine, "restore-start", machine.api_port)
    restart(machine, "restore-start", seconds=120)
    assert "failed" not in machine.again("check")
