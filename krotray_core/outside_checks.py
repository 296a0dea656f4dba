"""Looking at those we depend on, for whoever runs the service: YooKassa, Telegram, our Mini App. Changes nothing."""

from __future__ import annotations

from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from krotray_core import clock, receipts, settings, telegram_api, yookassa
from krotray_core.deadlines import Session, read
from krotray_core.errors import GatewayDenied, GatewayError, GatewayUnavailable, TelegramRefused, TelegramUnavailable
from krotray_core.server_checks import Finding
from krotray_core.setting_checks import LONGEST_SKEW

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 8.0
PAGE_BYTES = 1024 * 1024
TELEGRAM_WEB = "https://web.telegram.org"
# What every version of the Mini App's page loads, and no other page at its address would.
_OURS = b"telegram-web-app.js"


def check_yookassa() -> list[Finding]:
    """Whether YooKassa knows our login, and whether the shop is what the settings take it for."""
    s = settings.get()
    try:
        shop = yookassa.shop()
    except GatewayDenied:
        return [
            Finding(
                "failed",
                "refuses the login: look at YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY (Интеграция -> Ключи API)",
            )
        ]
    except (GatewayError, GatewayUnavailable) as error:
        return [Finding("failed", f"{error}; payments that were begun are settled when it is back")]
    findings = [Finding("ok", f"knows shop {shop.shop_id}")]
    if shop.shop_id != s.yookassa_shop_id:
        findings.append(Finding("failed", f"the key is of shop {shop.shop_id}, but YOOKASSA_SHOP_ID says another"))
    if not shop.enabled:
        findings.append(Finding("failed", "the shop is switched off: nobody can pay; ask YooKassa's support"))
    if shop.test:
        findings.append(Finding("warning", "a test shop: nobody pays real money"))
    if shop.sends_receipts and not receipts.required():
        findings.append(
            Finding("failed", "the shop must send receipts and refuses payments without: set RECEIPT_VAT_CODE")
        )
    if receipts.required() and not shop.sends_receipts:
        findings.append(
            Finding(
                "warning",
                "RECEIPT_VAT_CODE is set, but the shop sends no receipts: people are asked for an e-mail in vain",
            )
        )
    return findings


def check_telegram() -> list[Finding]:
    """Whether Telegram knows the bot, and whether updates reach it."""
    try:
        name, elsewhere = telegram_api.whoami(), telegram_api.webhook()
    except (TelegramRefused, TelegramUnavailable) as error:
        return [Finding("failed", f"{error}; look at BOT_TOKEN and TELEGRAM_API_URL")]
    findings = [Finding("ok", f"knows the bot @{name}")]
    if elsewhere:
        host = urlsplit(elsewhere).hostname or "somewhere"
        findings.append(
            Finding(
                "warning",
                f"a webhook to {host} takes its updates; the bot removes it at its start; does another program use this token?",
            )
        )
    return findings


def check_clock() -> list[Finding]:
    """How far this machine's clock is from that of the first vendor who answers, by the Date of the answer (whole seconds)."""
    s = settings.get()
    # Proxy variables are heeded with Telegram only, as where we talk to them in earnest.
    for name, url, by_proxy in (("YooKassa", s.yookassa_api_url, False), ("Telegram", s.telegram_api_url, True)):
        ahead = _ahead_of(url, by_proxy=by_proxy)
        if ahead is None:
            continue
        if abs(ahead) > LONGEST_SKEW:
            by = f"{ahead.total_seconds():+.0f} s"
            return [Finding("warning", f"this machine's is {by} from {name}'s: timedatectl set-ntp true")]
        return [Finding("ok", f"this machine's agrees with {name}'s")]
    return [Finding("warning", "neither YooKassa nor Telegram says what time it is: this machine's was not compared")]


def _ahead_of(url: str, *, by_proxy: bool) -> timedelta | None:
    """By how much we are ahead of whoever answers there; None without a Date that can be read."""
    try:
        with Session(pause_seconds=ANSWER_SECONDS, answer_seconds=ANSWER_SECONDS) as session:
            session.trust_env = by_proxy
            asked = clock.local()
            with session.head(url, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False) as answer:
                answered, date = clock.local(), answer.headers.get("Date", "")
        theirs = parsedate_to_datetime(date)
    except (requests.RequestException, ValueError):
        return None
    # Cut to whole seconds: on average half a second more has passed.
    moment = theirs.replace(tzinfo=theirs.tzinfo or UTC) + timedelta(seconds=0.5)
    return asked + (answered - asked) / 2 - moment


def check_mini_app() -> list[Finding]:
    """Whether the Mini App's page is where Telegram will look for it, and may be shown in Telegram Web's frame."""
    url = settings.get().mini_app_url
    findings = []
    if urlsplit(url).scheme != "https":
        findings.append(Finding("warning", "MINI_APP_URL is not https: Telegram opens nothing else"))
    try:
        with Session(pause_seconds=ANSWER_SECONDS, answer_seconds=ANSWER_SECONDS) as session:
            # requests lets variables and ~/.netrc have their say otherwise; people come without them.
            session.trust_env = False
            with session.get(
                url, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False, stream=True
            ) as answer:
                findings += _judge(answer, read(answer, PAGE_BYTES))
    except requests.exceptions.SSLError:
        findings.append(
            Finding(
                "failed", f"{url} shows a certificate that nobody trusts, or one that has run out: renew it (certbot)"
            )
        )
    except requests.RequestException as error:
        findings.append(
            Finding(
                "failed",
                f"{url} does not answer ({type(error).__name__}): is `web` running, and the proxy in front of it?",
            )
        )
    return findings


def _judge(answer: requests.Response, body: bytes) -> list[Finding]:
    """What Telegram would make of this page."""
    if answer.is_redirect:
        return [
            Finding(
                "failed", f"{answer.url} leads elsewhere: set MINI_APP_URL to where it leads, with /app/ at its end"
            )
        ]
    if answer.status_code != requests.codes.ok:
        return [Finding("failed", f"{answer.url} answers {answer.status_code}: does the proxy pass /app/ on to `web`?")]
    if _OURS not in body:
        return [Finding("failed", f"{answer.url} is not the Mini App: does the proxy pass /app/ on to `web`?")]
    policy = next(
        (part for part in answer.headers.get("Content-Security-Policy", "").split(";") if "frame-ancestors" in part), ""
    )
    if "X-Frame-Options" in answer.headers or TELEGRAM_WEB not in policy:
        return [
            Finding(
                "failed",
                f"{answer.url} may not be shown in Telegram Web: does the proxy add X-Frame-Options or a policy of its own?",
            )
        ]
    return [Finding("ok", f"{answer.url} is the Mini App, and Telegram Web may show it")]
