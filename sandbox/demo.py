"""`make demo` and `make smoke`: the whole service on this machine, and a guided purchase through it."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sandbox.person import Person
from sandbox.process import PartFailed, free_port, listening
from sandbox.service import Service
from sandbox.tour import Tour
from sandbox.world import FLOWER_LOGIN, ROOT, World

STATE = ROOT / ".state"
VISITOR = 777_000_001  # the sandbox user as whom a visitor opens the Mini App
_began = time.monotonic()


def _say(text: str = "") -> None:
    print(text, flush=True)


def _progress(text: str) -> None:
    _say(f"{time.monotonic() - _began:7.2f} s  {text}")


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _preferred(port: int) -> int:
    return free_port() if listening(port) else port


def _run(folder: Path, *, stay: bool) -> None:
    web_port = int(os.environ.get("PORT") or _preferred(8000)) if stay else None
    flower_port = _preferred(5555) if stay else free_port()
    _say("Starting the world outside: real servers, and the sandbox in place of YooKassa and Telegram")
    world = World(folder, web_port=web_port, front=stay, say=_progress)
    try:
        _say("\nStarting the service: flask db upgrade, then the Procfile")
        service = Service(world, settings={"FLOWER_PORT": str(flower_port)})
        try:
            _progress(f"web, worker, beat, bot and flower are up (log: {_short(service.process.log)})")
            service.add_servers(world)
            _progress("two Xray servers added with `flask servers add`")
            _say("\nA guided purchase")
            Tour(world, service, _say).walk()
            if stay:
                _addresses(world, flower_port)
                service.process.wait()
                raise PartFailed(f"the service ended by itself:\n{service.process.tail()}")
        finally:
            _say("\nStopping")
            service.stop()
    finally:
        world.stop()


# What a newcomer presses, in both languages; the words are those on the buttons.
WAY = """
  Начать > Открыть кабинет > Оплатить > (касса: любая тестовая карта) > Подключить
      потом: Стенд > Попробовать ключ - настоящий VPN-клиент откроет страницу вашим ключом
  Start > Open the cabinet > Pay > (checkout: any test card) > Connect
      then: Sandbox > Try this key - a real VPN client opens a page with your key (Emma speaks English)"""


def _addresses(world: World, flower_port: int) -> None:
    buyer = Person(world, VISITOR + 1)
    to_pay = buyer.buy(buyer.plans()[-1]["code"], "sbp")["confirmation_url"]
    _say(f"\nYour turn. Open / откройте     {world.telegram_url}/")
    _say(WAY)
    _say("\nIt stays up until Ctrl-C. Also there:")
    _say(f"  Mini App in a tab of its own  {world.telegram_url}/sandbox/mini-app/{VISITOR}")
    _say(f"  a checkout, to pay or not     {to_pay}")
    _say(f"  YooKassa: payments, webhooks  {world.yookassa_url}/sandbox/")
    _say(f"  Flower ({FLOWER_LOGIN})       http://127.0.0.1:{flower_port}/")
    _say(f"  the API described             {world.web_url}/api/openapi.json")
    _say("\nAdmin commands live in this environment:")
    _say(f"  . {_short(world.write_environment())} && .venv/bin/flask servers list")


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path)


def main() -> int:
    """Runs the demo until Ctrl-C, or with --smoke just the tour; 0 when all went as it should."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="from nothing, the tour alone, then stop")
    parser.add_argument("--state", type=Path, default=STATE, help="where everything is kept (%(default)s)")
    options = parser.parse_args()
    smoke = options.smoke
    # SIGINT too: a shell that puts us into the background has it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    options.state.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="smoke-", dir=options.state)) if smoke else options.state / "demo"
    try:
        _run(folder, stay=not smoke)
    except PartFailed as error:
        _say(f"\nFAILED: {error}\nlogs: {_short(folder / 'logs')}")
        return 1
    except KeyboardInterrupt:
        return 1 if smoke else 0
    if smoke:
        shutil.rmtree(folder)
        _say(f"\nAll steps are right ({time.monotonic() - _began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
