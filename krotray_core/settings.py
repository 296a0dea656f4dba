"""Settings: frozen, read from the environment (or `.env` beside the code) once; every missing or wrong name is reported at once."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from krotray_core.errors import SettingsError
from krotray_core.links import check_template

IPNetwork = IPv4Network | IPv6Network

# https://yookassa.ru/developers/using-api/webhooks#ip, as it was on that day
YOOKASSA_PUBLISHED_ON = date(2026, 11, 23)
YOOKASSA_PUBLISHED_NETWORKS = (
    "185.71.76.0/27",
    "185.71.77.0/27",
    "77.75.153.0/25",
    "77.75.156.11",
    "77.75.156.35",
    "77.75.154.128/25",
    "2a02:5180::/32",
)

REDIS = ("redis", "rediss", "redis+socket", "sentinel")


def _parts(value: Any) -> Any:
    """ "a, b" -> ["a", "b"]: lists are written with commas in an environment variable."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _networks(value: Any) -> Any:
    return tuple(ip_network(part, strict=False) for part in _parts(value))


def _database_url(value: str) -> str:
    """Turns postgres:// and postgresql:// into the name of the driver in use (SQLAlchemy 2.1 would take psycopg 3)."""
    value = re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", value)
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL") from None
    if url.drivername != "postgresql+psycopg2":
        raise ValueError("only PostgreSQL will do: postgresql://user:password@host/database")
    if url.host and "%2f" in url.host.lower():  # a socket's folder, written where a host stands
        url = url.set(host=None).update_query_dict({"host": unquote(url.host)})
    return url.render_as_string(hide_password=False)


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname or (parts.scheme == "redis+socket" and parts.path))
            _ = parts.port
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"should be an address that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/") if parts.path == "/" else value

    return AfterValidator(check)


def _broker(*schemes: str) -> AfterValidator:
    """Like `_url`; several with semicolons are one cluster: all Sentinels, or all RabbitMQs."""
    one = _url(*schemes)

    def check(value: str) -> str:
        parts = [part.strip() for part in value.split(";") if part.strip()]
        kinds = {urlsplit(part).scheme for part in parts}
        if len(parts) > 1 and kinds not in ({"sentinel"}, {"amqp"}, {"amqps"}):
            raise ValueError("several addresses should all start with sentinel://, or all with amqp:// or amqps://")
        return ";".join(one.func(part) for part in parts or [value])  # type: ignore[call-arg]

    return AfterValidator(check)


def _origin(value: str) -> str:
    """https://vpn.example.com, as browsers send it; * for any."""
    parts = urlsplit(value)
    if value != "*" and (
        parts.scheme not in ("http", "https") or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError("should be origins such as https://vpn.example.com, without a path")
    return value


def _shown(value: SecretStr, pattern: str, hint: str) -> SecretStr:
    if not re.fullmatch(pattern, value.get_secret_value()):
        raise ValueError(hint)
    return value


def _bot_token(value: SecretStr) -> SecretStr:
    return _shown(value, r"[0-9]+:[A-Za-z0-9_-]+", "should look like 123456789:AAF... (BotFather gives it)")


def _login(value: SecretStr) -> SecretStr:
    return _shown(value, r"[^:\s]+:\S+", "should be user:password")


def _dsn(value: SecretStr) -> SecretStr:
    return _shown(
        value,
        r"https?://[A-Za-z0-9]+(:[A-Za-z0-9]+)?@[^\s/@]+(/[^\s/]+)*/[0-9]+",
        "should look like https://key@sentry.example.com/1 (Sentry shows it in the project's settings)",
    )


def _rate(value: str) -> str:
    """What the library `limits` reads, without its odder forms: it would take a limit of none in no time."""
    rate = r"[1-9][0-9]{0,5}\s*(/|\sper\s)\s*([1-9][0-9]{0,3}\s*)?(second|minute|hour|day)s?"
    if not all(re.fullmatch(rate, part.strip()) for part in value.split(";")):
        raise ValueError("should be like 20/minute, 20 per minute or 5/second;100/10 minutes")
    return value


def _hours(value: Any) -> Any:
    """ "22-9" -> (22, 9)."""
    if not isinstance(value, str):
        return value
    hours = re.fullmatch(r"([0-9]|1[0-9]|2[0-3])-([0-9]|1[0-9]|2[0-3])", value.strip(), re.ASCII)
    if not hours:
        raise ValueError("should be two full hours such as 22-9, or 0-0")
    return int(hours[1]), int(hours[2])


HttpUrl = Annotated[str, _url("http", "https")]
NonEmpty = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Networks = Annotated[tuple[IPNetwork, ...], NoDecode, BeforeValidator(_networks)]
Origin = Annotated[str, AfterValidator(_origin)]
ReceiptMode = Literal[
    "full_prepayment",
    "full_payment",
    "advance",
    "partial_prepayment",
    "partial_payment",
    "credit",
    "credit_payment",
]
Rate = Annotated[str, AfterValidator(_rate)]
QuietHours = Annotated[tuple[int, int], NoDecode, BeforeValidator(_hours)]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Settings(BaseSettings):
    """Everything that may differ between two installations; the README describes each name."""

    model_config = SettingsConfigDict(
        env_file=Path(__file__).parent.parent / ".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a wrong secret must not end up in a log
    )

    database_url: Annotated[str, AfterValidator(_database_url)]
    # PgBouncer before the database, in transaction mode: a connection's start asks for nothing, and nothing stays behind on it.
    database_pooler: Literal["transaction"] | None = None
    redis_url: Annotated[str, _broker(*REDIS)]
    celery_broker_url: Annotated[str, _broker(*REDIS, "amqp", "amqps")] | None = None
    # What the Sentinels of a sentinel:// address call their Redis, and their own password (the Redis's is in the address).
    redis_sentinel_master: NonEmpty = "mymaster"
    redis_sentinel_password: SecretStr | None = None
    secret_key: Secret

    bot_token: Annotated[SecretStr, AfterValidator(_bot_token)]
    mini_app_url: HttpUrl
    public_url: HttpUrl | None = None
    # Where people ask for help, shown by VPN programs: a chat in Telegram, say.
    support_url: HttpUrl | None = None
    telegram_api_url: HttpUrl = "https://api.telegram.org"
    admin_telegram_ids: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_parts)] = ()

    yookassa_shop_id: NonEmpty
    yookassa_secret_key: Secret
    yookassa_api_url: HttpUrl = "https://api.yookassa.ru/v3"
    yookassa_networks: Networks = tuple(ip_network(n) for n in YOOKASSA_PUBLISHED_NETWORKS)
    payment_return_url: HttpUrl

    # Receipts (54-FZ) are sent once there is a VAT code: https://yookassa.ru/developers/payment-acceptance/receipts
    receipt_vat_code: Annotated[int, Field(ge=1, le=12)] | None = None
    receipt_tax_system_code: Annotated[int, Field(ge=1, le=6)] | None = None
    receipt_payment_subject: Annotated[str, Field(pattern="^[a-z_]{1,64}$")] = "service"
    receipt_payment_mode: ReceiptMode = "full_payment"
    # The owner's own words beside the e-mail field: what the buyer agrees to.
    receipt_consent: str | None = None

    trusted_proxies: Networks = ()
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_parts)] | None = None
    metrics_token: SecretStr | None = None
    # As text on a terminal and as JSON elsewhere, unless one of the two is named.
    log_format: Literal["text", "json"] | None = None
    # Errors are reported to Sentry when this is set.
    sentry_dsn: Annotated[SecretStr, AfterValidator(_dsn)] | None = None
    sentry_environment: Annotated[str, Field(pattern=r"^[^\s/]{1,64}$")] | None = None
    flower_basic_auth: Annotated[SecretStr, AfterValidator(_login)] | None = None

    create_rate_limit: Rate = "20/minute"
    check_rate_limit: Rate = "60/minute"
    rotate_rate_limit: Rate = "5/hour"
    webhook_rate_limit: Rate = "60/minute"
    webhook_burst_limit: Rate = "1000/second"

    vless_url_template: Annotated[str, AfterValidator(check_template)] | None = None
    xray_inbound_tag: NonEmpty = "vless-in"
    xray_server_name: str | None = None
    xray_server_host: str | None = None
    xray_grpc_port: Port | None = None
    xray_max_users: Annotated[int, Field(ge=1)] | None = None

    expiry_sweep_seconds: Seconds = 300
    settle_sweep_seconds: Seconds = 60
    reconcile_seconds: Seconds = 86_400
    watch_seconds: Seconds = 10
    audit_seconds: Seconds = 600
    repair_seconds: Seconds = 30
    # How long a server may be down before its people are moved elsewhere; never, if not set.
    evacuate_after_seconds: Seconds | None = None
    # Admins hear of it when no worker or no beat was seen, or somebody who paid has had no key, for so long.
    alarm_after_seconds: Seconds = 300
    notices_seconds: Seconds = 5
    reminders_seconds: Seconds = 300
    # From one full hour to another by Moscow's clock nobody is woken; 0-0 for never.
    quiet_hours: QuietHours = (22, 9)

    @property
    def broker_url(self) -> str:
        """Where Celery's messages go."""
        return self.celery_broker_url or self.redis_url

    @property
    def origin(self) -> str:
        """Scheme, host and port of our public address, without a slash: what subscription links start with."""
        parts = urlsplit(self.public_url or self.mini_app_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Origins whose pages may call the API; by default that of the Mini App."""
        if self.cors_origins is not None:
            return self.cors_origins
        parts = urlsplit(self.mini_app_url)
        return (f"{parts.scheme}://{parts.netloc}",)


def load() -> Settings:
    """Reads the environment. Raises SettingsError with one message that names every missing or malformed setting."""
    try:
        return Settings()
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else "?"
            said = "is missing" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
            faults.append(f"  {name}: {said}")
        raise SettingsError("\n".join(["The settings will not do:", *sorted(set(faults))])) from None


@cache
def get() -> Settings:
    """The settings of this process, read on first use. Raises SettingsError."""
    return load()
