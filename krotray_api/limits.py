"""How often one may ask: a person for payments, a stranger for the webhook. All web processes count together, in Redis.

A limit stops floods; it never stands in the way of money. While Redis is away each process counts by itself, and no call
fails or waits for it. It is looked at before the database is touched or a body read.

The webhook has two limits. Strangers (403 anyway) are cut short at WEBHOOK_RATE_LIMIT, each address by itself. YooKassa's own
addresses share WEBHOOK_BURST_LIMIT, a valve for the database far above what a shop ever gets; each process has its own, which
asks nobody. Even what it turns away is not lost: YooKassa repeats for 24 hours whatever was not answered with 200, and the sweep
asks about every open payment.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from ipaddress import IPv6Address
from math import ceil
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from flask import Flask, Response, request
from flask_limiter import Limiter, RequestLimit
from limits import parse_many
from limits.storage import RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from krotray_api import addresses, auth, problems
from krotray_core import settings, telegram
from krotray_core.errors import InitDataExpired, InitDataInvalid, InitDataMissing
from krotray_tasks import broker

log = logging.getLogger(__name__)

PREFIX = "krotray:limits"
# How long one call may be kept by a Redis that is away; the next ones do not wait at all.
ANSWER_SECONDS = 0.3
PROBE_SECONDS = 1.0
MOST_KEYS = 10_000


def _caller() -> str:
    """The person whom Telegram vouches for; who comes without good initData is known by the address."""
    try:
        return f"user {telegram.verify(auth.init_data()).telegram_id}"
    except (InitDataMissing, InitDataInvalid, InitDataExpired):
        return _address()


def _address() -> str:
    """Where the call comes from; a customer's whole /64 is one address. All that cannot be known count as one."""
    address = addresses.client_address(request, settings.get().trusted_proxies)
    if isinstance(address, IPv6Address):
        address = IPv6Address(int(address) >> 64 << 64)
    return f"address {address}"


def _refuse(limit: RequestLimit) -> Response:
    """429, with the time when the whole allowance is there again (Redis rounds it by half a second)."""
    return _too_many(limiter.storage.get_expiry(limit.key) + 0.5)


def _too_many(until: float) -> Response:
    return problems.too_many_requests(max(1, ceil(until - time.time())))


class _Limiter(Limiter):
    """Leaves alone what has no limit; by itself it looks at every request, only to leave what is decorated to its decorator."""

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if not in_middleware:
            super()._check_request_limit(callable_name, in_middleware)


# A fixed window: one counter a caller, and Retry-After tells the truth. Should counting itself break, the call goes on.
limiter = _Limiter(_address, strategy="fixed-window", on_breach=_refuse, swallow_errors=True)

on_create = limiter.limit(lambda: settings.get().create_rate_limit, key_func=_caller)
on_check = limiter.limit(lambda: settings.get().check_rate_limit, key_func=_caller)
on_rotate = limiter.limit(lambda: settings.get().rotate_rate_limit, key_func=_caller)
_on_stranger = limiter.limit(lambda: settings.get().webhook_rate_limit, key_func=_address)


def on_webhook(view: Callable[[], Response]) -> Callable[[], Response]:
    """Limits the webhook: strangers as everything else, YooKassa by this process's valve."""
    for_strangers = _on_stranger(view)

    @functools.wraps(view)
    def limited() -> Response:
        if not addresses.from_yookassa():
            return for_strangers()
        return _beyond_the_valve() or view()

    return limited


def _beyond_the_valve() -> Response | None:
    """Counts a call of YooKassa's; 429 if it is one too many."""
    for limit in _rates(settings.get().webhook_burst_limit) if limiter.enabled else ():
        if not valve.hit(limit, "yookassa"):
            return _too_many(valve.get_window_stats(limit, "yookassa").reset_time)
    return None


_rates = functools.cache(parse_many)


def install(app: Flask) -> None:
    """Has the limits of the decorated routes kept."""
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # a line for each refused call would be a flood too
    app.config["RATELIMIT_STORAGE_URI"] = f"{Counters.STORAGE_SCHEME[0]}://"
    s = settings.get()
    redis = counting_behind_sentinels(s) if s.redis_url.startswith("sentinel:") else counting(redis_uri(s.redis_url))
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"redis": redis}
    limiter.init_app(app)


def redis_uri(url: str) -> str:
    """Celery's way of writing where Redis is, in that of `limits`; not for Sentinels."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    # Whatever else is asked there is Celery's affair, and a timeout among it would overrule ours.
    options = {name: value for name, value in asked.items() if name.startswith("ssl_")}
    if "ssl_cert_reqs" in options:
        options["ssl_cert_reqs"] = options["ssl_cert_reqs"].removeprefix("CERT_").lower()
    scheme = parts.scheme
    if scheme == "redis+socket":
        scheme, options = "redis+unix", {"db": asked.get("virtual_host", "").strip("/") or "0"}
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(options)}" if options else "")


class Counters(Storage):
    """Counters in Redis; in this process's memory while Redis is away, or where it is not known.

    Flask-Limiter's own fallback lets calls fail that notice an outage at the same moment, and later ones wait to see whether
    it is over; here a thread looks.
    """

    STORAGE_SCHEME = ["krotray"]  # noqa: RUF012 - as the base class has it

    def __init__(self, uri: str | None = None, redis: RedisStorage | None = None, **_: Any) -> None:
        super().__init__(uri)
        self._memory = _Memory()
        self._lock = threading.Lock()
        self._away = redis is None
        self._redis = redis

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """None gets out."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts one more, and says how many there are."""
        return self._ask("incr", key, expiry, amount)

    def get(self, key: str) -> int:
        """How many there are."""
        return self._ask("get", key)

    def get_expiry(self, key: str) -> float:
        """When the count begins anew."""
        return self._ask("get_expiry", key)

    def clear(self, key: str) -> None:
        """Forgets one count."""
        self._ask("clear", key)

    def reset(self) -> int | None:
        """Forgets everything."""
        return self._ask("reset")

    def check(self) -> bool:
        """There is always something to count with."""
        return True

    def _ask(self, name: str, *arguments: Any) -> Any:
        if not self._away:
            try:
                return getattr(self._redis, name)(*arguments)
            except Exception as error:  # whatever it is: nobody is turned away for it
                self._lost(error)
        return getattr(self._memory, name)(*arguments)

    def _lost(self, error: Exception) -> None:
        with self._lock:
            if self._away:
                return  # another thread has said it
            self._away = True
        log.warning("no Redis: each web process counts its limits by itself until it is back: %s", type(error).__name__)
        threading.Thread(target=self._await, name="limits", daemon=True).start()

    def _await(self) -> None:
        # Redis tells nobody that it is back. The first pause lets every call that was on the way notice the outage too.
        while True:
            time.sleep(PROBE_SECONDS)
            if self._counts():
                break
        self._memory.reset()
        self._away = False
        log.info("Redis is back: limits are counted there again")

    def _counts(self) -> bool:
        """Whether Redis counts; that it answers is not enough, it may be a replica or full."""
        try:
            return bool(self._redis.incr("probe", 60))
        except Exception:
            return False


def counting(uri: str) -> RedisStorage:
    """The Redis at this address, in the form that `redis_uri` gives."""
    return RedisStorage(uri, key_prefix=PREFIX, **_patience())


def counting_behind_sentinels(s: settings.Settings) -> RedisStorage:
    """Whichever Redis the Sentinels of REDIS_URL name at the moment."""
    first, *others = (urlsplit(part) for part in s.redis_url.split(";"))
    sentinels = Sentinel(
        [(one.hostname, one.port or 26379) for one in (first, *others)],
        sentinel_kwargs=broker.sentinel_options(s, ANSWER_SECONDS) | _patience(),
        username=unquote(first.username or "") or None,
        password=unquote(first.password or "") or None,
        db=first.path.strip("/") or 0,
        **_patience(),
    )
    pool = sentinels.master_for(s.redis_sentinel_master).connection_pool
    return RedisStorage("redis://", connection_pool=pool, key_prefix=PREFIX)


def _patience() -> dict[str, Any]:
    """redis-py by itself would try for many seconds."""
    return {
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


class _Memory:
    """Counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def incr(self, key: str, expiry: int, amount: int) -> int:
        now = time.time()
        with self._lock:
            if len(self._counts) >= MOST_KEYS and key not in self._counts:
                # From so many addresses at once, no limit by address helps.
                self._counts = {k: kept for k, kept in self._counts.items() if kept[1] > now}
                if len(self._counts) >= MOST_KEYS:
                    self._counts = {}
            count, until = self._counts.get(key, (0, now))
            if until <= now:
                count, until = 0, now + expiry
            self._counts[key] = count + amount, until
            return count + amount

    def get(self, key: str) -> int:
        count, until = self._counts.get(key, (0, 0.0))
        return count if until > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return max(self._counts.get(key, (0, 0.0))[1], time.time())

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    def reset(self) -> int:
        gone, self._counts = len(self._counts), {}
        return gone


valve = FixedWindowRateLimiter(Counters())  # on this process's memory alone
