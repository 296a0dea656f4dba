"""`python -m sandbox.yookassa`: the sandbox as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..serving import listen, run_until_told, serve_on
from . import Config, create_app


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(arguments)
    if not options.shop_id or not options.secret_key:
        print("Give --shop-id and --secret-key, or set YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY.", file=sys.stderr)
        return 2
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    app = create_app(
        Config(
            shop_id=options.shop_id,
            secret_key=options.secret_key,
            public_url=(options.public_url or address).rstrip("/"),
            webhook_url=options.webhook_url,
            state_file=options.state_file,
            shop_name=options.shop_name,
            receipt_required=options.receipt_required,
            recurring_allowed=options.recurring_allowed,
        )
    )
    server = serve_on(listening, app, verbose=options.verbose)

    print(f"YooKassa sandbox: API {address}/v3, overview {address}/sandbox/", flush=True)
    try:
        run_until_told(server)
    finally:
        app.extensions["yookassa_sandbox"].close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.yookassa", description="A local stand-in for YooKassa.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--shop-id", default=os.environ.get("YOOKASSA_SHOP_ID"), help="default: YOOKASSA_SHOP_ID")
    parser.add_argument(
        "--secret-key",
        default=os.environ.get("YOOKASSA_SECRET_KEY"),
        help="default: YOOKASSA_SECRET_KEY, which other users of the machine cannot read in the process list",
    )
    parser.add_argument("--webhook-url", help="where notifications go; none are sent without it")
    parser.add_argument("--public-url", help="the address that payers' browsers use, if it is another one")
    parser.add_argument("--state-file", type=Path, help="keep everything here instead of in memory")
    parser.add_argument("--shop-name", help="what the payer reads on the checkout page")
    parser.add_argument("--receipt-required", action="store_true", help="behave like a shop with fiscalization")
    parser.add_argument("--recurring-allowed", action="store_true", help="behave like a shop that may charge again")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
