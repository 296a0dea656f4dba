"""Faults of the API: what a client sees, and what has or has not happened behind its back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from sandbox_yookassa_kit import GONE, Till, order, running

from sandbox.process import wait_until

CREATE = "POST /v3/payments"
FIND = "GET /v3/payments/{id}"
PROCESSING = {"type", "description", "retry_after"}


def create(till: Till, key: str = "key-1", **options: Any) -> requests.Response:
    return till.api("POST", "/payments", key=key, json=order(), **options)


def made(till: Till) -> int:
    return len(till.sandbox.payments.records())


def made_once_by_a_repetition(till: Till) -> bool:
    """Whatever has happened: the same key and body end in one payment."""
    return create(till).status_code == 200 and made(till) == 1


@pytest.mark.parametrize(("when", "number"), [("before", 0), ("after", 1)])
def test_a_connection_is_closed_without_a_byte(till: Till, when: str, number: int) -> None:
    till.arm(CREATE, "drop", when=when)
    with pytest.raises(requests.ConnectionError, match="Remote end closed connection without response"):
        create(till)
    assert made(till) == number
    assert made_once_by_a_repetition(till)


@pytest.mark.parametrize(("when", "number"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["500", "202", "502"])
def test_an_answer_that_leaves_open_what_happened(till: Till, kind: str, when: str, number: int) -> None:
    till.arm(CREATE, kind, when=when)
    answer = create(till)
    assert (answer.status_code, made(till)) == (int(kind), number)
    if kind == "500":
        assert (answer.json()["type"], answer.json()["code"]) == ("error", "internal_server_error")
    elif kind == "202":
        assert (answer.json().keys(), answer.json()["type"]) == (PROCESSING, "processing")
        assert answer.json()["retry_after"] == 1800
    else:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<h1>502 Bad Gateway</h1>" in answer.text
    assert made_once_by_a_repetition(till)


@pytest.mark.parametrize(
    ("kind", "code"), [("401", "invalid_credentials"), ("403", "forbidden"), ("429", "too_many_requests")]
)
def test_a_refusal_makes_nothing(till: Till, kind: str, code: str) -> None:
    till.arm(CREATE, kind)
    answer = create(till)
    assert (answer.status_code, answer.json()["code"], made(till)) == (int(kind), code, 0)
    assert answer.json().keys() == {"type", "id", "code", "description"}
    assert "Retry-After" not in answer.headers
    assert made_once_by_a_repetition(till)


def test_too_many_requests_may_say_when_to_come_back(till: Till) -> None:
    till.arm(CREATE, "429", retry_after=7, retry_after_ms=6500)
    answer = create(till)
    assert (answer.headers["Retry-After"], answer.json()["retry_after"]) == ("7", 6500)


@pytest.mark.parametrize(("when", "number"), [("before", 0), ("after", 1)])
def test_a_request_hangs_until_the_client_loses_patience(till: Till, when: str, number: int) -> None:
    till.arm(CREATE, "hang", when=when)
    with pytest.raises(requests.ReadTimeout):
        create(till, timeout=0.1)
    wait_until(lambda: till.look("/faults")["hanging"] == 1, seconds=10, what="the request to hang there")
    assert made(till) == number
    assert till.control("/faults/release") == {"released": 1}
    wait_until(lambda: till.look("/faults")["hanging"] == 0, seconds=10, what="it to go on")
    assert made_once_by_a_repetition(till)


def hanging(
    till: Till, meanwhile: Callable[[], object], **options: Any
) -> requests.Response | requests.ConnectionError:
    """What a patient client gets that hangs until something is done."""
    till.arm(CREATE, "hang", when="before", **options)

    def ask() -> requests.Response | requests.ConnectionError:
        try:
            return create(till)
        except requests.ConnectionError as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        assert till.look("/faults?wait=5&fired=1")["items"][0]["fired"] == 1
        assert made(till) == 0
        meanwhile()
        return asking.result(5)


@pytest.mark.parametrize("way_out", ["/faults/release", "/reset"])
def test_what_is_released_is_hung_up_on(till: Till, way_out: str) -> None:
    got = hanging(till, lambda: till.control(way_out))
    assert (type(got), made(till)) == (requests.ConnectionError, 0)


def test_what_is_released_may_also_go_on(till: Till) -> None:
    got = hanging(till, lambda: till.control("/faults/release"), then="go_on")
    assert isinstance(got, requests.Response)
    assert (got.status_code, made(till)) == (200, 1)


def test_a_reset_lets_nothing_go_on(till: Till) -> None:
    got = hanging(till, lambda: till.control("/reset"), then="go_on")
    assert (type(got), made(till)) == (requests.ConnectionError, 0)


def test_a_hanging_request_may_free_itself(till: Till) -> None:
    till.arm(CREATE, "hang", when="after", seconds=0.05, then="go_on")
    till.arm(CREATE, "hang", when="before", seconds=0.05)
    assert create(till).status_code == 200
    with pytest.raises(requests.ConnectionError):
        create(till)
    assert till.look("/faults")["hanging"] == 0


def test_a_sandbox_that_stops_waits_for_nobody() -> None:
    with running() as till:
        till.arm(CREATE, "hang", when="before")
        with pytest.raises(requests.ReadTimeout):
            create(till, timeout=0.05)
    assert till.sandbox.faults.hanging() == 0


def test_an_answer_drips(till: Till) -> None:
    payment_id = till.make()["id"]
    whole = till.api("GET", f"/payments/{payment_id}").content
    till.arm(FIND, "drip", pause_ms=1)
    with till.api("GET", f"/payments/{payment_id}", stream=True) as answer:
        pieces = list(answer.raw.stream(1))
    assert b"".join(pieces) == whole
    assert {len(piece) for piece in pieces} == {1}


def test_a_dripping_answer_outlives_no_reset(till: Till) -> None:
    payment_id = till.make()["id"]
    till.arm(FIND, "drip", pause_ms=1)
    till.arm(FIND, "drip", pause_ms=60_000)
    assert till.get(payment_id)["id"] == payment_id
    answer = till.api("GET", f"/payments/{payment_id}", stream=True)
    till.control("/reset")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = answer.content


@pytest.mark.parametrize("whole_length", [False, True])
def test_an_answer_is_cut(till: Till, whole_length: bool) -> None:
    till.arm(CREATE, "truncated", whole_length=whole_length)
    if whole_length:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            create(till)
    else:
        answer = create(till)
        assert answer.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
    assert made(till) == 1
    assert made_once_by_a_repetition(till)


def test_an_answer_tells_something_else(till: Till) -> None:
    payment = till.make()
    till.arm(FIND, "wrong", overrides={"id": GONE, "amount": {"value": 250}})
    till.arm(FIND, "wrong", content="[]")
    till.arm(FIND, "wrong", content="<p>Log in!</p>", content_type="text/html", status=203)
    assert till.get(payment["id"]) == payment | {"id": GONE, "amount": {"value": 250, "currency": "RUB"}}
    assert till.api("GET", f"/payments/{payment['id']}").content == b"[]"
    portal = till.api("GET", f"/payments/{payment['id']}")
    assert (portal.status_code, portal.headers["Content-Type"], portal.text) == (203, "text/html", "<p>Log in!</p>")
    assert till.get(payment["id"]) == payment


def statuses(till: Till, number: int) -> list[int]:
    return [till.api("GET", "/me").status_code for _ in range(number)]


def test_faults_strike_in_their_order_and_as_often_as_they_should(till: Till) -> None:
    till.arm("GET /v3/me", "pass")
    till.arm("GET /v3/me", "500", when="before", times=2)
    till.arm("*", "429")
    till.arm("POST /v3/refunds", "403")
    assert statuses(till, 5) == [200, 500, 500, 429, 200]
    assert till.fired() == [1, 2, 1, 0]
    assert [fault["left"] for fault in till.look("/faults")["items"]] == [0, 0, 0, 1]


def test_a_fault_lasts_until_it_is_cleared(till: Till) -> None:
    lasting, other = till.arm("*", "403", times="forever"), till.arm("*", "401", times=2)
    assert statuses(till, 4) == [403] * 4
    assert till.api("GET", "/nowhere").status_code == 403
    assert till.control("/faults/clear", id=lasting) == {"cleared": 1}
    assert statuses(till, 1) == [401]
    assert [fault["id"] for fault in till.look("/faults")["items"]] == [other]
    assert till.control("/faults/clear") == {"cleared": 1}
    assert till.control("/faults/clear", id=lasting) == {"cleared": 0}
    assert statuses(till, 1) == [200]


def test_a_storm_is_the_same_each_time(till: Till) -> None:
    storms = []
    for seed in (1, 1, 2):
        till.control("/reset")
        till.arm("*", "500", when="before", times="forever", probability=0.5, seed=seed)
        storms.append(statuses(till, 40))
        assert till.fired() == [storms[-1].count(500)]
    assert storms[0] == storms[1] != storms[2]
    assert 8 < storms[0].count(500) < 32


def test_many_at_once_share_the_times_of_a_fault(till: Till) -> None:
    till.arm("GET /v3/me", "500", when="before", times=5)
    with ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(lambda _: statuses(till, 1)[0], range(32)))
    assert seen.count(500) == 5


def test_the_list_tells_what_was_armed(till: Till) -> None:
    till.arm(CREATE, "429", retry_after=7)
    assert till.look("/faults") == {
        "items": [
            {
                "id": 1,
                "operation": CREATE,
                "kind": "429",
                "when": "before",
                "times": 1,
                "probability": 1.0,
                "seed": 0,
                "retry_after": 7,
                "left": 1,
                "fired": 0,
            }
        ],
        "hanging": 0,
    }
    till.arm("webhook *", "delayed", seconds=60, times="forever")
    page = till.browser().open("/sandbox/").page
    for words in ("Неисправности", CREATE, "429", "webhook *", "delayed", "до отмены"):
        assert words in page
    till.control("/reset")
    assert till.look("/faults") == {"items": [], "hanging": 0}
    assert "Неисправности" not in till.browser().open("/sandbox/").page


def test_a_fault_that_is_refused_is_not_armed(till: Till) -> None:
    for body in ({}, {"operation": "*", "kind": "drop"}, {"operation": "*", "kind": "401", "pause_ms": 1}):
        assert till.control("/faults", expect=400, **body)["error"]
    assert requests.post(f"{till.url}/sandbox/faults", data="{", timeout=10).status_code == 400
    assert till.look("/faults")["items"] == []


@pytest.mark.parametrize("body", [{"id": "1"}, {"id": True}, {"number": 1}])
def test_clearing_refuses_nonsense(till: Till, body: dict[str, Any]) -> None:
    till.control("/faults/clear", expect=400, **body)


def test_a_request_that_hangs_holds_up_no_other_one(till: Till) -> None:
    till.arm(CREATE, "hang", when="before")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(create, till)
        till.look("/faults?wait=5&fired=1")
        assert till.paid()
        till.control("/faults/release")
        assert isinstance(asking.exception(5), requests.ConnectionError)
