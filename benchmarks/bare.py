"""The limits: a Flask and Celery application that does nothing but the one thing, with the same libraries and servers as ours.

Served as the Procfile serves ours, against the same PostgreSQL and Redis: `gunicorn benchmarks.bare:app`,
`celery -A benchmarks.bare:celery worker`.
"""

from __future__ import annotations

import os
import time

from celery import Celery
from flask import Flask, jsonify, request
from sqlalchemy import create_engine, text

app = Flask(__name__)
celery = Celery("bare", broker=os.environ.get("BARE_BROKER_URL"))
celery.conf.update(task_ignore_result=True, task_default_queue="bare", broker_connection_retry_on_startup=True)
engine = create_engine(os.environ.get("BARE_DATABASE_URL", "postgresql+psycopg2://"), pool_size=8, max_overflow=8)

TABLE = "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data text NOT NULL)"


@celery.task
def nothing(_number: int) -> None:
    """Does nothing."""


@celery.task
def stamp(key: str) -> None:
    """Says when it ran, in a list in Redis."""
    with celery.pool.acquire(block=True) as connection:
        connection.default_channel.client.lpush(key, repr(time.time()))


@app.get("/hello")
def hello() -> str:
    """No database at all."""
    return "hello"


@app.get("/row/<int:number>")
def row(number: int) -> object:
    """One SELECT by primary key."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, data FROM bare WHERE id = :id"), {"id": number}).one()
    return jsonify(id=found.id, data=found.data)


@app.post("/hook")
def hook() -> object:
    """One INSERT, one commit, one message."""
    told = request.get_json()
    with engine.begin() as connection:
        statement = text("INSERT INTO bare (data) VALUES (:data) RETURNING id")
        number = connection.execute(statement, {"data": told["object"]["id"]}).scalar_one()
    nothing.delay(number)
    return jsonify(status="noted")
