"""Somebody with a phone in their hand, for the walk: what they see, press and keep pictures of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, ConsoleMessage, FrameLocator, Locator, Page, expect

from tests.browser.app_kit import SERIOUS

# What sticks out of the screen, and buttons whose words are cut off; not the sandbox's panel that waits beside the screen.
CUT = """() => [...document.querySelectorAll("body *")].filter((one) => {
  if (!one.checkVisibility({visibilityProperty: true})) return false;
  const {left, right, width} = one.getBoundingClientRect();
  if (left >= innerWidth || right <= 0 || one.closest("svg, .for-ears, .unseen")) return false;
  const pressed = one.matches("button, a.button, summary, label");
  const spills = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1;
  const cut = left < -1 || right > innerWidth + 1 || spills;
  return width > innerWidth + 1 || (pressed && cut);
}).map((one) => one.outerHTML.slice(0, 120))"""
# What fades in is pale until it is there.
STILL = """Promise.allSettled(document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < 5000)
    .map((one) => one.finished)).then(() => null)"""
SECONDS = 20_000  # milliseconds, of patience with what takes a worker or a browser to do

# What a person sees and presses, by language; everything else below is a role or a test id.
WORDS = {
    "ru": {
        "newcomer": "#new-ru",
        "hello": "Здравствуйте",
        "cabinet": "Открыть кабинет",
        "asleep": "Крот пока спит",
        "price": "250 ₽",
        "pay": re.compile("^Оплатить"),
        "left": "90 дней",
        "copied": "Скопировано",
        "came": "Оплата прошла",
        "works": "Ключ работает",
        "no_key": "Ключа ещё нет",
        "refused": "Сервер не пустил",
        "blocked": "Вы заблокировали бота",
        "buy": "Купить или продлить",
        "month": re.compile("^1 месяц"),
        "card": re.compile("карт", re.IGNORECASE),
        "to_pay": re.compile("Оплатить|Перейти к оплате"),
        "check": re.compile("Проверить"),
        "my_key": "Мой ключ",
    },
    "en": {
        "newcomer": "#new-en",
        "hello": "Hello",
        "cabinet": "Open the cabinet",
        "asleep": "The mole is asleep",
        "price": "250 ₽",
        "pay": re.compile("^Pay"),
        "left": "90 days",
        "copied": "Copied",
        "came": "The payment went through",
        "works": "The key works",
        "no_key": "There is no key yet",
        "refused": "did not let this key in",
        "blocked": "You have blocked the bot",
        "buy": "Buy or renew",
        "month": re.compile("^1 month"),
        "card": re.compile("card", re.IGNORECASE),
        "to_pay": re.compile("Pay"),
        "check": re.compile("[Cc]heck"),
        "my_key": "My key",
    },
}


@dataclass
class Walker:
    """Somebody with a phone in their hand."""

    page: Page
    language: str
    folder: Path
    problems: list[str] = field(default_factory=list)
    stops: int = 0

    def word(self, name: str) -> str | re.Pattern[str]:
        """What is written there in their language."""
        return WORDS[self.language][name]

    @property
    def app(self) -> FrameLocator:
        """The Mini App in its frame."""
        return self.page.frame_locator("#webview iframe")

    @property
    def said(self) -> Locator:
        """The bot's last message."""
        return self.page.locator("#chat .message.bot").last

    @property
    def main(self) -> Locator:
        """The button that Telegram draws below the Mini App."""
        return self.page.get_by_test_id("main-button")

    def look(self, name: str, page: Page | None = None) -> None:
        """Keeps what is on the screen; nothing sticks out of it sideways."""
        page = page or self.page
        for one in page.frames:
            assert one.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name}: too wide"
            assert not (cut := one.evaluate(CUT)), f"{name}: {cut}"
        self.stops += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=self.folder / f"{self.stops:02}-{name}.png", animations="disabled")

    def examine(self, name: str, *, state: str | None = None) -> None:
        """The same for this screen of the Mini App, or of the chat without one; axe finds nothing serious there."""
        if state:
            self.sees(state)
        frame = self.page.frames[-1] if state else self.page.main_frame
        frame.evaluate(STILL)
        if not frame.evaluate("'axe' in window"):
            frame.evaluate(AXE_SCRIPT)
        assert not (found := frame.evaluate(SERIOUS)), f"{name}: {found}"
        self.look(name)

    def hears(self, name: str) -> None:
        """Waits until the bot's last message says this."""
        expect(self.said).to_contain_text(self.word(name), timeout=SECONDS)

    def press(self, name: str) -> None:
        """Presses a button below the bot's last message."""
        self.said.get_by_role("button", name=self.word(name)).first.click()

    def sees(self, state: str) -> None:
        """Waits until the Mini App shows this screen."""
        screen = (
            f'[data-testid="state"][data-state="{state}"]:not([aria-busy="true"])'  # busy: what comes is still fetched
        )
        expect(self.app.locator(screen)).to_be_visible(timeout=SECONDS)

    def clipboard(self) -> str:
        """What was copied last."""
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def stand(self) -> None:
        """Opens the sandbox's own panel, which is behind a button on a phone."""
        self.page.get_by_test_id("stand").click()
        expect(self.page.locator("#stand")).to_be_in_viewport()

    def tries_the_key(self, outcome: str) -> None:
        """Has the sandbox's VPN client try it."""
        result = self.page.get_by_test_id("key-result")
        result.evaluate("(one) => one.replaceChildren()")  # what was said of another key
        self.page.get_by_test_id("try-key").click()
        expect(result).to_contain_text(self.word(outcome), timeout=SECONDS)

    def gets_a_picture(self, picture: Locator) -> None:
        """There is something that can be scanned, and it has come."""
        expect(picture).to_be_visible(timeout=SECONDS)
        assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 20

    def pays(self, checkout: Page) -> None:
        """At the checkout: the card that it offers, of which the bank asks nothing."""
        checkout.wait_for_load_state()
        other = checkout.get_by_role("link", name="English")
        if self.language == "en" and other.count():
            other.click()
        self.look("checkout", checkout)
        # It leads back to the shop by itself, and is looked at here for as long as that takes.
        checkout.route("**/app/**", lambda route: route.fulfill(status=204))
        checkout.get_by_role("button", name=self.word("pay")).click()
        expect(checkout.locator('[data-status="succeeded"]')).to_be_visible(timeout=SECONDS)
        self.look("paid", checkout)
        checkout.close()


def watch(context: BrowserContext, walker: Walker) -> None:
    """Notes every error in a page, and anything that is asked of the internet."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            walker.problems.append(f"{message.text} ({message.location.get('url')})")

    context.on("console", note)
    context.on("weberror", lambda error: walker.problems.append(str(error.error)))
    context.on(
        "request", lambda asked: None if _is_here(asked.url) else walker.problems.append(f"the internet: {asked.url}")
    )


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
