"""The sandbox as a process: how it starts, stops, and what it still knows afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from sandbox_yookassa_kit import SHOP, Receiver, order, running

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The sandbox's own command on a free port, and the address that it prints."""
    with subprocess.Popen(  # noqa: S603 - our own command with our own options
        [sys.executable, "-m", "sandbox.yookassa", "--port", "0", *options],
        cwd=ROOT,
        env=os.environ | {"YOOKASSA_SHOP_ID": SHOP[0], "YOOKASSA_SECRET_KEY": SHOP[1]} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            yield started, line.partition("API ")[2].partition("/v3")[0]
        finally:
            started.kill()


def post(url: str, key: str) -> dict[str, object]:
    headers = {"Idempotence-Key": key}
    return requests.post(f"{url}/v3/payments", json=order(), auth=SHOP, headers=headers, timeout=10).json()


def test_everything_survives_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    state = tmp_path / "state.sqlite"
    with running(state_file=state) as till:
        made = till.api("POST", "/payments", key="key-1", json=order()).json()
        till.control("/clock", advance_seconds=600)
        till.control("/webhooks", url="http://127.0.0.1:9/closed")
        till.control(f"/payments/{made['id']}/pay")
        till.look("/deliveries?wait=5&at_least=1")
        moment = till.control("/clock")["now"]
        paid = till.get(made["id"])
    with running(state_file=state, first_retry_pause=0.02) as till:
        assert till.get(made["id"]) == paid
        assert till.api("POST", "/payments", key="key-1", json=order()).json() == made
        assert till.control("/clock")["now"] > moment
        assert till.look("/deliveries")["items"][0]["error"] == "ConnectionError"
        till.control("/webhooks", url=receiver.url)
        assert receiver.next() == {"type": "notification", "event": "payment.succeeded", "object": paid}
        assert till.look("/deliveries?wait=5")["undelivered"] == 0


def test_a_change_that_fails_leaves_no_half(tmp_path: Path) -> None:
    state = tmp_path / "made" / "on demand" / "state.sqlite"
    with running(state_file=state) as till:
        store = till.sandbox.store

        def fail() -> None:
            with store.transaction():
                store.put("payment", "half", {})
                with store.transaction():
                    store.put("refund", "half", {})
                raise LookupError

        with pytest.raises(LookupError):
            fail()
        assert (store.count("payment"), store.count("refund")) == (0, 0)


def test_a_killed_process_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    options = ("--state-file", str(tmp_path / "state.sqlite"), "--webhook-url", receiver.url)
    receiver.answer(*[503] * 100)
    with process(*options) as (first, url):
        made = post(url, "key-1")
        requests.post(f"{url}/sandbox/payments/{made['id']}/pay", timeout=10)
        receiver.next()
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    while not receiver.answers.empty():
        receiver.answers.get()
    with process(*options) as (_, url):
        assert post(url, "key-1")["id"] == made["id"]
        found = requests.get(f"{url}/v3/payments/{made['id']}", auth=SHOP, timeout=10).json()
        assert found["status"] == "succeeded"
        assert receiver.next()["object"] == found
        log = requests.get(f"{url}/sandbox/deliveries?wait=5", timeout=10).json()
        assert (log["undelivered"], log["items"][-1]["http_status"]) == (0, 200)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_process_stops_when_it_is_asked_to(stop: signal.Signals) -> None:
    with process() as (started, url):
        assert requests.get(f"{url}/v3/me", auth=SHOP, timeout=10).status_code == 200
        started.send_signal(stop)
        out, err = started.communicate(timeout=10)
        assert (started.returncode, out, err) == (0, "", "")


def test_the_process_wants_credentials() -> None:
    with process(YOOKASSA_SECRET_KEY="") as (started, _):
        _, err = started.communicate(timeout=10)
        assert started.returncode == 2
        assert "YOOKASSA_SECRET_KEY" in err
        assert "Traceback" not in err


def test_a_taken_port_is_one_line() -> None:
    with process() as (_, url), process("--port", url.rpartition(":")[2]) as (second, _):
        _, err = second.communicate(timeout=10)
        assert second.returncode == 1
        assert len(err.splitlines()) == 1
