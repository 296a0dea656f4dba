"""Settings: what the environment may say, and one message that names all that is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from krotray_core import settings
from krotray_core.settings import Settings
from sandbox.world import ROOT
from tests.conftest import run_python
from tests.settings.kit import NEEDED, named, refused

TEMPLATE = "vless://{uuid}@{host}:443?type=tcp#{name}"
PUBLISHED = (
    "185.71.76.0/27",
    "185.71.77.0/27",
    "77.75.153.0/25",
    "77.75.156.11/32",
    "77.75.156.35/32",
    "77.75.154.128/25",
    "2a02:5180::/32",
)


def test_the_needed_ones_are_enough_and_the_rest_has_its_defaults() -> None:
    s = settings.load()
    assert s.broker_url == s.redis_url == NEEDED["REDIS_URL"]
    assert s.secret_key.get_secret_value() == NEEDED["SECRET_KEY"]
    assert s.bot_token.get_secret_value() == NEEDED["BOT_TOKEN"]
    assert s.yookassa_secret_key.get_secret_value() == NEEDED["YOOKASSA_SECRET_KEY"]
    assert (s.yookassa_shop_id, s.mini_app_url) == ("100500", NEEDED["MINI_APP_URL"])
    assert s.payment_return_url == NEEDED["PAYMENT_RETURN_URL"]
    assert s.yookassa_api_url == "https://api.yookassa.ru/v3"
    assert s.telegram_api_url == "https://api.telegram.org"
    assert s.yookassa_networks == tuple(ip_network(network) for network in PUBLISHED)
    assert s.trusted_proxies == ()
    assert s.admin_telegram_ids == ()
    assert s.allowed_origins == ("https://vpn.example:8443",)
    assert s.origin == "https://vpn.example:8443"
    assert (s.create_rate_limit, s.check_rate_limit) == ("20/minute", "60/minute")
    assert (s.webhook_rate_limit, s.webhook_burst_limit) == ("60/minute", "1000/second")
    assert s.flower_basic_auth is None
    assert s.vless_url_template is None
    assert s.xray_inbound_tag == "vless-in"
    assert (s.xray_server_name, s.xray_server_host, s.xray_grpc_port, s.xray_max_users) == (None, None, None, None)
    assert (s.expiry_sweep_seconds, s.settle_sweep_seconds, s.watch_seconds) == (300, 60, 10)
    assert (s.audit_seconds, s.repair_seconds, s.notices_seconds) == (600, 30, 5)


def test_every_one_can_be_set(env: pytest.MonkeyPatch) -> None:
    said = {
        "CELERY_BROKER_URL": "redis://127.0.0.1:6380/1",
        "YOOKASSA_API_URL": "http://127.0.0.1:8081/v3",
        "TELEGRAM_API_URL": "http://127.0.0.1:8082/",
        "TRUSTED_PROXIES": "127.0.0.1, ::1,10.0.0.0/8",
        "YOOKASSA_NETWORKS": "127.0.0.0/8",
        "ADMIN_TELEGRAM_IDS": " 1,7123456789 ,",
        "CORS_ORIGINS": "https://a.example, https://b.example:8443",
        "FLOWER_BASIC_AUTH": "krot:a:b",
        "CREATE_RATE_LIMIT": "5 per 10 minutes",
        "CHECK_RATE_LIMIT": "1/second;20/minute",
        "WEBHOOK_RATE_LIMIT": "7 / hour",
        "WEBHOOK_BURST_LIMIT": "100/seconds",
        "VLESS_URL_TEMPLATE": TEMPLATE,
        "XRAY_INBOUND_TAG": "in",
        "XRAY_SERVER_NAME": "Main",
        "XRAY_SERVER_HOST": "103.137.251.165",
        "XRAY_GRPC_PORT": "8080",
        "XRAY_MAX_USERS": "100",
        "EXPIRY_SWEEP_SECONDS": "1.5",
        "SETTLE_SWEEP_SECONDS": "2",
        "WATCH_SECONDS": "3",
        "AUDIT_SECONDS": "4",
        "REPAIR_SECONDS": "0.2",
        "NOTICES_SECONDS": "0.5",
    }
    for name, value in said.items():
        env.setenv(name, value)
    s = settings.load()
    assert s.broker_url == "redis://127.0.0.1:6380/1"
    assert s.yookassa_api_url == "http://127.0.0.1:8081/v3"
    assert s.telegram_api_url == "http://127.0.0.1:8082"
    assert [str(network) for network in s.trusted_proxies] == ["127.0.0.1/32", "::1/128", "10.0.0.0/8"]
    assert [str(network) for network in s.yookassa_networks] == ["127.0.0.0/8"]
    assert s.admin_telegram_ids == (1, 7123456789)
    assert s.allowed_origins == ("https://a.example", "https://b.example:8443")
    assert s.flower_basic_auth is not None
    assert s.flower_basic_auth.get_secret_value() == "krot:a:b"
    assert (s.create_rate_limit, s.check_rate_limit) == ("5 per 10 minutes", "1/second;20/minute")
    assert (s.webhook_rate_limit, s.webhook_burst_limit) == ("7 / hour", "100/seconds")
    assert (s.vless_url_template, s.xray_inbound_tag) == (TEMPLATE, "in")
    assert (s.xray_server_name, s.xray_server_host) == ("Main", "103.137.251.165")
    assert (s.xray_grpc_port, s.xray_max_users) == (8080, 100)
    assert (s.expiry_sweep_seconds, s.settle_sweep_seconds, s.watch_seconds) == (1.5, 2, 3)
    assert (s.audit_seconds, s.repair_seconds, s.notices_seconds) == (4, 0.2, 0.5)


def test_all_that_are_missing_are_named_in_one_message(env: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        env.delenv(name)
    message = refused()
    assert named(message) == sorted(NEEDED)
    assert message.count("is missing") == len(NEEDED)


MALFORMED = {
    "DATABASE_URL": [
        "mysql://krot:parole-one@db.example/krotray",
        "garbage parole-one",
        "postgresql://h:parole-one/x",
        "/",
    ],
    "REDIS_URL": ["parole-five", "http://:parole-five@h/0", "redis://", "redis://h:parole-five/0"],
    "BOT_TOKEN": ["parole-three", "AAF:parole-three", "1:parole three", " 1:parole-three", "123:"],
    "MINI_APP_URL": ["vpn.example/app/", "ftp://vpn.example", "https://", "https://vpn.example:port/"],
    "PAYMENT_RETURN_URL": ["javascript:alert(1)", "//vpn.example"],
    "YOOKASSA_API_URL": ["api.yookassa.ru"],
    "TELEGRAM_API_URL": ["api.telegram.org"],
    "TRUSTED_PROXIES": ["localhost", "127.0.0.1 10.0.0.1", "10.0.0.0/33", "10.0.0.1,*"],
    "YOOKASSA_NETWORKS": ["185.71.76.0-185.71.76.31"],
    "ADMIN_TELEGRAM_IDS": ["@krot", "1 2", "1.5"],
    "FLOWER_BASIC_AUTH": ["parole-six", ":parole-six", "krot:"],
    "CREATE_RATE_LIMIT": [
        "20",
        "0/minute",
        "-1/minute",
        "many per minute",
        "20perminute",
        "20/fortnight",
        "9/0 minutes",
    ],
    "CHECK_RATE_LIMIT": ["60/minute;", "60/minute, 5/second", "١/minute"],
    "WEBHOOK_RATE_LIMIT": ["none"],
    "WEBHOOK_BURST_LIMIT": ["1e3/second"],
    "VLESS_URL_TEMPLATE": ["vless://{id}@h:443", "vless://{uuid}@h", "trojan://{uuid}@h:443"],
    "XRAY_GRPC_PORT": ["0", "65536", "8080/tcp", "-1"],
    "XRAY_MAX_USERS": ["0", "-5", "many", "1.5"],
    "EXPIRY_SWEEP_SECONDS": ["0", "-1", "5m", "nan", "inf", "86401"],
    "SETTLE_SWEEP_SECONDS": ["0"],
    "WATCH_SECONDS": ["0"],
    "AUDIT_SECONDS": ["-10"],
    "REPAIR_SECONDS": ["often"],
    "NOTICES_SECONDS": ["0"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in MALFORMED for value in MALFORMED[name]])
def test_a_malformed_one_is_named_and_its_value_is_not_shown(env: pytest.MonkeyPatch, name: str, value: str) -> None:
    env.setenv(name, value)
    message = refused()
    assert named(message) == [name]
    assert "parole" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_BROKER_URL", "not a broker"),
        ("CORS_ORIGINS", "vpn.example"),
        ("CORS_ORIGINS", "https://vpn.example/app/"),
        ("MINI_APP_URL", "https://user@/app"),
        ("VLESS_URL_TEMPLATE", "vless://{uuid}@h:443\nvless://x"),
    ],
)
def test_what_can_never_work_is_found_at_the_start(env: pytest.MonkeyPatch, name: str, value: str) -> None:
    env.setenv(name, value)
    assert named(refused()) == [name]


def test_missing_and_malformed_ones_share_one_message_without_any_value(env: pytest.MonkeyPatch) -> None:
    for name in ("MINI_APP_URL", "YOOKASSA_SHOP_ID"):
        env.delenv(name)
    for name, values in MALFORMED.items():
        env.setenv(name, values[0])
    message = refused()
    assert named(message) == sorted({*MALFORMED, "MINI_APP_URL", "YOOKASSA_SHOP_ID"})
    assert "parole" not in message


def test_nobody_sees_a_secret_by_printing_the_settings(env: pytest.MonkeyPatch) -> None:
    env.setenv("FLOWER_BASIC_AUTH", "krot:parole-six")
    s = settings.load()
    shown = f"{s!r} {s} {s.model_dump()}".replace(s.database_url, "")
    assert "parole" not in shown


def test_an_empty_one_is_an_absent_one(env: pytest.MonkeyPatch) -> None:
    for name in ("CORS_ORIGINS", "TRUSTED_PROXIES", "YOOKASSA_NETWORKS", "WATCH_SECONDS", "CELERY_BROKER_URL"):
        env.setenv(name, "")
    s = settings.load()
    assert len(s.yookassa_networks) == len(PUBLISHED)
    assert (s.trusted_proxies, s.watch_seconds, s.broker_url) == ((), 10, NEEDED["REDIS_URL"])
    assert s.allowed_origins == ("https://vpn.example:8443",)
    env.setenv("BOT_TOKEN", "")
    assert named(refused()) == ["BOT_TOKEN"]


def test_names_of_others_are_none_of_our_business(env: pytest.MonkeyPatch) -> None:
    env.setenv("PORT", "not a number: gunicorn's")
    env.setenv("XRAY_SOMETHING", "else")
    assert "port" not in Settings.model_fields
    settings.load()


def test_settings_are_frozen() -> None:
    s = settings.load()
    with pytest.raises(ValidationError):
        s.watch_seconds = 1  # type: ignore[misc]


def test_a_file_beside_the_code_is_read_and_the_environment_wins(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# written by hand\n"
        + "".join(f"{name}={value}\n" for name, value in NEEDED.items())
        + f"VLESS_URL_TEMPLATE='{TEMPLATE}'\nWATCH_SECONDS=7\nAUDIT_SECONDS=\nNOBODYS=business\n"
    )
    for name in NEEDED:
        env.delenv(name)
    env.setenv("REDIS_URL", "redis://elsewhere/1")
    env.setitem(Settings.model_config, "env_file", file)
    s = settings.load()
    assert (s.yookassa_shop_id, s.redis_url, s.watch_seconds) == ("100500", "redis://elsewhere/1", 7)
    assert (s.vless_url_template, s.audit_seconds) == (TEMPLATE, 600)


def test_that_file_is_at_the_top_of_the_house() -> None:
    command = [
        sys.executable,
        "-c",
        "from krotray_core.settings import Settings as s; print(s.model_config['env_file'])",
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - ours
    assert Path(said.stdout.strip()) == ROOT / ".env"


PROCESSES = {
    "flask": ["-m", "flask", "servers", "list"],
    "wsgi": ["-c", "import wsgi"],
    "celery": ["-m", "celery", "-A", "krotray_tasks", "report"],
    "worker": ["-m", "celery", "-A", "krotray_tasks", "worker"],
    "beat": ["-m", "celery", "-A", "krotray_tasks", "beat"],
    "bot": ["-m", "krotray_bot"],
    "flower": ["-m", "krotray_tasks.flower"],
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_with_broken_settings_ends_at_once_and_says_all(process: str) -> None:
    broken = {"BOT_TOKEN": "parole-three", "XRAY_GRPC_PORT": "0", "REDIS_URL": "parole-five", "MINI_APP_URL": ""}
    environment = os.environ | broken | {"FLASK_APP": "wsgi", "PYTHONWARNINGS": "default"}
    answer = run_python(*PROCESSES[process], environment=environment)
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0
    assert named(said) == sorted(broken)
    assert "parole" not in said
    assert "Traceback" not in said
