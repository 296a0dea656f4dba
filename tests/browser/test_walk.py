"""The whole way from the demo's own pages, in a real browser: hello, Mini App, checkout, key, and a page through the tunnel.

Screenshots of every stop are kept in the test run's folder, or in the one that WALK_SCREENSHOTS names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Route, expect

from sandbox.person import Person
from sandbox.service import Service
from sandbox.world import World
from tests.browser.walk_kit import SECONDS, WORDS, Walker, watch

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The demo's world: the Mini App is seen through the sandbox Telegram."""
    made = World(tmp_path_factory.mktemp("walk"), front=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(own_world: World) -> Iterator[Service]:
    """The running service, the bot included."""
    made = Service(own_world, processes=("web", "worker", "beat", "bot"))
    made.add_servers(own_world)
    yield made
    made.stop()


@pytest.fixture
def walker(
    browser: Browser, own_world: World, service: Service, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Walker]:
    """Somebody who has never been here. Any error in a page, and anything asked of the internet, fails the test."""
    assert service
    language, scheme, size = request.param
    context = browser.new_context(
        viewport=dict(zip(("width", "height"), size, strict=True)),
        color_scheme=scheme,
        locale="ru-RU" if language == "ru" else "en-GB",
        permissions=["clipboard-read", "clipboard-write"],
        device_scale_factor=float(os.environ.get("WALK_SCALE", "1")),
    )
    folder = Path(os.environ.get("WALK_SCREENSHOTS") or tmp_path) / "-".join(
        [language, scheme, f"{size[0]}x{size[1]}", *(["chat"] if "chat" in request.function.__name__ else [])]
    )
    made = Walker(context.new_page(), language, folder)
    watch(context, made)
    made.page.goto(f"{own_world.telegram_url}/")
    on_a_phone = made.page.get_by_test_id("stand").is_visible()
    if on_a_phone:
        made.stand()
    made.page.locator(str(made.word("newcomer"))).click()
    if on_a_phone:
        expect(made.page.locator("#stand")).not_to_be_in_viewport()
    made.page.get_by_test_id("start").click(trial=True)  # the phone is theirs
    yield made
    context.close()
    assert made.problems == []


@pytest.mark.parametrize(
    "walker",
    [("ru", "light", (390, 844)), ("en", "dark", (390, 844)), ("ru", "dark", (360, 640))],
    indirect=True,
    ids=str,
)
def test_from_hello_to_a_page_through_the_tunnel(walker: Walker) -> None:
    page, app = walker.page, walker.app
    expect(page.get_by_test_id("start")).to_be_visible()
    walker.look("before")
    page.get_by_test_id("start").click()
    walker.hears("hello")
    walker.look("hello")
    walker.press("cabinet")

    walker.sees("no_subscription")
    expect(app.get_by_role("heading", name=walker.word("asleep"))).to_be_visible()
    expect(page.locator("#webview")).to_have_class(re.compile("ready"))  # the app has told Telegram so
    walker.look("shop")
    app.get_by_test_id("plan-3m").click()
    app.get_by_test_id("method-card").click()
    expect(walker.main).to_contain_text(walker.word("price"))
    with page.context.expect_page() as opened:
        walker.main.click()
    walker.sees("payment_pending")
    walker.look("waiting")
    walker.pays(opened.value)

    walker.sees("active")  # by itself
    expect(app.get_by_test_id("days-left")).to_contain_text(walker.word("left"))
    walker.look("active")
    walker.main.click()
    walker.sees("connect")
    walker.look("connect")
    page.locator("#webview-back").click()  # Telegram's own button
    walker.sees("active")
    app.get_by_test_id("to-key").click()
    walker.sees("key")
    app.get_by_test_id("turn").click()
    walker.gets_a_picture(app.get_by_test_id("qr"))
    walker.look("key")
    app.get_by_test_id("copy-vless").click()
    expect(app.get_by_test_id("copy-vless")).to_have_text(walker.word("copied"))
    vless_url = walker.clipboard()

    page.locator("#webview-close").click()
    expect(page.locator("#webview")).to_be_hidden()
    walker.hears("came")  # the notice, which came into the chat meanwhile
    walker.look("notice")
    page.locator("#chat").get_by_role("button", name=walker.word("my_key")).last.click()
    walker.gets_a_picture(walker.said.get_by_role("img"))
    walker.look("picture")

    walker.stand()
    walker.tries_the_key("works")
    assert "127.0.77." in page.get_by_test_id("key-result").inner_text(), "it came out at a VPN server"
    walker.look("tried")
    for link, outcome in ((vless_url, "works"), (vless_url.replace(vless_url[8:16], "00000000"), "refused")):
        page.locator("#key-link").fill(link)
        walker.tries_the_key(outcome)


@pytest.mark.parametrize("walker", [("ru", "light", (390, 844)), ("en", "dark", (390, 844))], indirect=True, ids=str)
def test_the_same_in_the_chat_alone(walker: Walker) -> None:
    page = walker.page
    walker.stand()
    walker.tries_the_key("no_key")
    page.locator("#stand-close").click()
    page.get_by_test_id("start").click()
    walker.hears("hello")
    walker.press("buy")
    walker.press("month")
    walker.press("card")
    pay = walker.said.get_by_role("link", name=walker.word("to_pay"))
    expect(pay).to_be_visible(timeout=SECONDS)
    walker.look("bill")
    with page.context.expect_page() as opened:
        pay.click()
    walker.pays(opened.value)
    walker.hears("came")
    copies = page.locator("#chat .message.bot .copies").last
    copies.click()
    expect(page.locator("#toast")).to_have_text(walker.word("copied"))
    assert requests.get(walker.clipboard(), timeout=10).ok
    walker.look("key")
    walker.stand()
    walker.tries_the_key("works")


# Those that nobody walks all the way in.
OTHERS = [
    ("ru", "light", (360, 640)),
    ("ru", "dark", (390, 844)),
    ("en", "light", (390, 844)),
    ("en", "light", (360, 640)),
    ("en", "dark", (360, 640)),
]


@pytest.mark.parametrize("walker", OTHERS, indirect=True, ids=str)
def test_every_screen_in_the_other_looks(walker: Walker, own_world: World) -> None:
    page, app = walker.page, walker.app
    person = Person(own_world, int(page.url.rpartition("#")[2]))

    def opens() -> None:
        """As by a link straight into the app: the bot may not write to them."""
        page.get_by_test_id("menu").dispatch_event("click")

    walker.examine("chat")
    opens()
    walker.examine("shop", state="no_subscription")
    app.get_by_test_id("to-payments").click()
    walker.examine("no-payments", state="payments")
    page.locator("#webview-back").click()
    walker.sees("no_subscription")
    bill = person.buy("3m")
    page.locator("#webview-close").click()
    opens()
    walker.examine("waiting", state="payment_pending")
    person.pay(bill["confirmation_url"])
    walker.sees("active")
    expect(page.get_by_role("dialog")).to_be_visible()
    walker.look("may-write")
    page.get_by_role("dialog").get_by_role("button").first.click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    person.buy("1m")
    page.locator("#webview-close").click()
    opens()
    expect(app.get_by_test_id("unpaid")).to_be_visible(timeout=SECONDS)
    walker.examine("home", state="active")
    walker.main.click()
    walker.examine("connect", state="connect")
    for room in ("to-key", "to-payments", "to-invite", "renew"):
        page.locator("#webview-back").click()
        walker.sees("active")
        app.get_by_test_id(room).click()
        walker.examine(room, state=room.removeprefix("to-") if room != "renew" else "buy")
    page.locator("#webview-back").click()
    app.get_by_test_id("to-key").click()
    app.get_by_test_id("rotate").click()
    walker.examine("rotate", state="rotate")
    page.locator("#webview-close").click()
    page.get_by_test_id("start").click()
    walker.hears("hello")
    walker.examine("hello")
    if page.get_by_test_id("stand").is_visible():
        walker.stand()
    walker.examine("stand")


@pytest.mark.parametrize("walker", [("en", "light", (1440, 900))], indirect=True, ids=str)
def test_start_pressed_while_another_person_takes_the_phone_starts_nothing_for_the_one_before(
    walker: Walker, own_world: World
) -> None:
    page, start = walker.page, walker.page.get_by_test_id("start")
    first = int(page.url.partition("#")[2])
    held: list[Route] = []
    page.route("**/sandbox/people", lambda route: held.append(route), times=1)  # noqa: PLW0108 Playwright asks a handler how it is declared
    with page.expect_request("**/sandbox/people"):
        page.locator(str(walker.word("newcomer"))).click()
    where = start.bounding_box()
    assert where is not None
    page.mouse.click(where["x"] + where["width"] / 2, where["y"] + where["height"] / 2)
    held[0].continue_()
    start.click()
    walker.hears("hello")
    assert int(page.url.partition("#")[2]) != first
    chat = requests.get(f"{own_world.telegram_url}/sandbox/chat/{first}", timeout=5).json()
    assert (chat["started"], chat["messages"]) == (False, [])


@pytest.mark.parametrize("walker", [("en", "light", (1440, 900))], indirect=True, ids=str)
def test_at_a_desk_everything_is_side_by_side_and_follows_the_theme(walker: Walker) -> None:
    page, app = walker.page, walker.app
    page.get_by_test_id("start").click()
    walker.hears("hello")
    page.get_by_test_id("menu").click()
    walker.sees("no_subscription")
    for place in ("#stand", "#phone", "#webview"):
        expect(page.locator(place)).to_be_in_viewport(ratio=1)
    ground = "getComputedStyle(document.body).backgroundColor"
    day = page.frames[-1].evaluate(ground)
    page.locator('input[name="theme"][value="dark"]').check(force=True)
    expect(app.locator("html")).to_have_attribute("data-scheme", "dark")
    assert page.frames[-1].evaluate(ground) != day
    walker.look("desk")

    app.get_by_test_id("to-invite").click()
    walker.sees("invite")
    walker.main.click()  # "Share": Telegram asks with whom, and we follow the link as Олег
    page.get_by_role("dialog").get_by_role("button", name="Олег").click()
    page.get_by_test_id("start").click()
    expect(page.locator("#chat .message.user").last).to_contain_text("/start ref_")
    expect(walker.said).to_contain_text(WORDS["ru"]["hello"], timeout=SECONDS)

    page.locator("#block").click()
    expect(page.locator("#blocked")).to_be_visible()
    expect(page.locator("#blocked")).to_contain_text(WORDS["ru"]["blocked"])
    walker.look("blocked")
    page.get_by_test_id("start").click()  # "Restart"
    expect(page.locator("#blocked")).to_be_hidden()
