"""Where the database and the broker are: every way of writing it that works, and those that cannot be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from krotray_core import settings
from sandbox.world import World
from tests.settings.kit import named, refused


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_url_connects_whatever_its_scheme(env: pytest.MonkeyPatch, world: World, scheme: str) -> None:
    env.setenv("DATABASE_URL", world.postgres.url("postgres").replace("postgresql", scheme, 1))
    assert_connects()


@pytest.fixture
def pg_socket(world: World, tmp_path: Path) -> Iterator[Path]:
    """A folder with PostgreSQL's Unix socket in it, as a server on the same machine has one."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()
        threading.Thread(target=_relay, args=(listener, world.postgres.port), daemon=True).start()
        yield tmp_path
        listener.shutdown(socket.SHUT_RDWR)


def _relay(listener: socket.socket, port: int) -> None:
    while True:
        try:
            near = listener.accept()[0]
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", port))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pour, args=(one, other), daemon=True).start()


def _pour(one: socket.socket, other: socket.socket) -> None:
    with one:
        try:
            while data := one.recv(65_536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


@pytest.mark.parametrize(
    "form",
    [
        "postgresql:///postgres?host={folder}&user=postgres",
        "postgres://postgres@/postgres?host={folder}",
        "postgresql://postgres@/postgres?host={folder}&port=5432",
        "postgresql+psycopg2://postgres@/postgres?host={folder}",
    ],
)
def test_a_database_url_may_name_a_socket(env: pytest.MonkeyPatch, pg_socket: Path, form: str) -> None:
    env.setenv("DATABASE_URL", form.format(folder=pg_socket))
    assert_connects()


@pytest.mark.parametrize("port", ["", ":5432"])
def test_a_socket_may_stand_where_the_host_stands(env: pytest.MonkeyPatch, pg_socket: Path, port: str) -> None:
    """libpq's own form: the path, percent-encoded, as the host."""
    env.setenv("DATABASE_URL", f"postgresql://postgres@{str(pg_socket).replace('/', '%2F')}{port}/postgres")
    assert_connects()


def assert_connects() -> None:
    """A connection with psycopg2 under the URL in force."""
    engine = create_engine(settings.load().database_url)
    try:
        assert engine.dialect.driver == "psycopg2"
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    finally:
        engine.dispose()


def test_a_password_with_every_sign_in_it_reaches_the_driver(env: pytest.MonkeyPatch) -> None:
    env.setenv(
        "DATABASE_URL", "postgres://kr%40t:p%40s%2Fs%25%3A%23%3F%5B@[2001:db8::1]:6432/krot%20ray?sslmode=require"
    )
    url = make_url(settings.load().database_url)
    assert (url.username, url.password) == ("kr@t", "p@s/s%:#?[")
    assert (url.host, url.port, url.database) == ("2001:db8::1", 6432, "krot ray")
    assert url.query == {"sslmode": "require"}


@pytest.mark.parametrize(
    "url",
    [
        "redis+socket:///run/redis/redis.sock",
        "redis://:word@h:6379/0",
        "rediss://h/0",
        "sentinel://:word@h1:26379/0",
        "sentinel://h1:26379;sentinel://h2:26379;sentinel://h3",
    ],
)
def test_forms_of_the_broker_s_address(env: pytest.MonkeyPatch, url: str) -> None:
    env.setenv("REDIS_URL", url)
    assert settings.load().broker_url == url


@pytest.mark.parametrize("url", ["amqp://krot:word@h:5672//", "amqps://h/krot", "amqp://h1;amqp://h2:5673"])
def test_rabbitmq_may_carry_the_messages_but_not_count(env: pytest.MonkeyPatch, url: str) -> None:
    env.setenv("CELERY_BROKER_URL", url)
    assert settings.load().broker_url == url
    env.setenv("REDIS_URL", url)
    assert named(refused()) == ["REDIS_URL"]


@pytest.mark.parametrize(
    "url",
    ["sentinel://h1;redis://h2", "redis://h1;redis://h2", "sentinel://h1;", "amqp://h1;h2", "sentinel://;sentinel://h"],
)
def test_clusters_that_cannot_be(env: pytest.MonkeyPatch, url: str) -> None:
    env.setenv("CELERY_BROKER_URL", url)
    if url.endswith(";"):
        assert settings.load().broker_url == url.rstrip(";")
    else:
        assert named(refused()) == ["CELERY_BROKER_URL"]


def test_what_a_pooler_may_be(env: pytest.MonkeyPatch) -> None:
    assert settings.load().database_pooler is None
    env.setenv("DATABASE_POOLER", "transaction")
    assert settings.load().database_pooler == "transaction"
    env.setenv("DATABASE_POOLER", "statement")
    assert named(refused()) == ["DATABASE_POOLER"]
