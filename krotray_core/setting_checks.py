"""Looking at settings that are well formed and yet may be wrong, for whoever runs the service. Changes nothing, asks nobody."""

from __future__ import annotations

import stat
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from krotray_core import clock, settings
from krotray_core.server_checks import Finding
from krotray_core.settings import YOOKASSA_PUBLISHED_NETWORKS, YOOKASSA_PUBLISHED_ON, Settings

# YooKassa announces new addresses some weeks before it uses them.
LIST_IS_OLD = timedelta(days=180)
SHORTEST_SECRET = 16
LONGEST_SKEW = timedelta(seconds=5)


def check() -> list[Finding]:
    """What there is to say about the settings of this process."""
    s = settings.get()
    said = [*_secrets(s), *_addresses(s), *_vendors(s), *_people(s)]
    return said or [Finding("ok", "nothing to say against them")]


def check_clock() -> Finding:
    """How far this machine's clock is from the database's, by which everything is decided."""
    ahead = clock.local() - clock.now()
    if abs(ahead) > LONGEST_SKEW:
        return Finding(
            "warning",
            f"this machine's is {ahead.total_seconds():+.0f} s from the database's: nothing is decided by it, but TLS and logs go"
            " by it; timedatectl set-ntp true",
        )
    return Finding("ok", "this machine's agrees with the database's")


def _secrets(s: Settings) -> list[Finding]:
    said = []
    env_file = Path(str(s.model_config.get("env_file")))
    if env_file.is_file() and env_file.stat().st_mode & stat.S_IROTH:
        said.append(
            Finding("warning", f"everybody on this machine can read {env_file.name}: chmod 640 {env_file.name}")
        )
    if len(s.secret_key.get_secret_value()) < SHORTEST_SECRET:
        said.append(Finding("warning", f"SECRET_KEY has under {SHORTEST_SECRET} signs"))
    return said


def _addresses(s: Settings) -> list[Finding]:
    said = []
    if any(network.prefixlen == 0 for network in s.yookassa_networks):
        said.append(Finding("failed", "YOOKASSA_NETWORKS lets the whole world send webhooks"))
    elif {str(network) for network in s.yookassa_networks} == {str(ip_network(n)) for n in YOOKASSA_PUBLISHED_NETWORKS}:
        age = clock.now().date() - YOOKASSA_PUBLISHED_ON
        if age > LIST_IS_OLD:
            said.append(
                Finding(
                    "warning",
                    f"the list of YooKassa's addresses is {age.days} days old: look at"
                    " https://yookassa.ru/developers/using-api/webhooks#ip, then upgrade the code or set YOOKASSA_NETWORKS",
                )
            )
    if any(network.prefixlen == 0 for network in s.trusted_proxies):
        said.append(Finding("failed", "TRUSTED_PROXIES believes everybody: whoever sends X-Forwarded-For is YooKassa"))
    if urlsplit(s.mini_app_url).scheme == "https" and not s.trusted_proxies:
        said.append(
            Finding(
                "warning",
                "TLS ends at a proxy, but TRUSTED_PROXIES names none: every webhook will look like the proxy's own and get 403",
            )
        )
    return said


def _vendors(s: Settings) -> list[Finding]:
    real = {"YOOKASSA_API_URL": "https://api.yookassa.ru/v3", "TELEGRAM_API_URL": "https://api.telegram.org"}
    present = {"YOOKASSA_API_URL": s.yookassa_api_url, "TELEGRAM_API_URL": s.telegram_api_url}
    return [
        Finding("warning", f"{name} leads to {urlsplit(url).hostname}, not to {urlsplit(real[name]).hostname}")
        for name, url in present.items()
        if url.rstrip("/") != real[name]
    ]


def _people(s: Settings) -> list[Finding]:
    if s.admin_telegram_ids:
        return []
    return [
        Finding(
            "warning",
            "ADMIN_TELEGRAM_IDS is empty: nobody hears of a server that is down or a payment that does not add up",
        )
    ]
