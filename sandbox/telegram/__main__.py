"""`python -m sandbox.telegram`: the sandbox as a process of its own."""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading

from sandbox.serving import listen, run_until_told, serve_on

from . import Config, create_app
from .front import create_front


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(arguments)
    if not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]+", options.bot_token or ""):
        print("Give --bot-token, or set BOT_TOKEN, to something like 123456789:AAF...", file=sys.stderr)
        return 2
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    address = f"http://{options.host}:{listening.getsockname()[1]}"
    config = Config(
        token=options.bot_token,
        mini_app_url=options.mini_app_url,
        framed=bool(options.front_port),
        messages_per_second=options.messages_per_second,
    )
    server = serve_on(listening, create_app(config), verbose=options.verbose)
    if options.front_port:
        before = listen(options.host, options.front_port)
        front = serve_on(before, create_front(options.front_target, address), verbose=options.verbose)
        threading.Thread(target=front.serve_forever, daemon=True).start()

    print(f"Telegram sandbox: TELEGRAM_API_URL={address}, chat {address}/", flush=True)
    run_until_told(server)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.telegram", description="A local stand-in for Telegram.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--bot-token",
        default=os.environ.get("BOT_TOKEN"),
        help="default: BOT_TOKEN, which other users of the machine cannot read in the process list",
    )
    parser.add_argument(
        "--mini-app-url",
        default=os.environ.get("MINI_APP_URL"),
        help="what the menu button opens; default: MINI_APP_URL",
    )
    parser.add_argument(
        "--messages-per-second", type=int, default=Config.messages_per_second, help="beyond it: 429; 0 is no limit"
    )
    parser.add_argument(
        "--front-port", type=int, help="where the service shows itself, with this sandbox as its Telegram"
    )
    parser.add_argument("--front-target", help="http://host:port of the service's web process")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
