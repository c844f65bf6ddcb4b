"""Start the three stand-ins in one process: `python -m sandbox --help` names the options."""

import argparse
import os
import sys
from pathlib import Path

from sandbox.feed import app as feed
from sandbox.finnhub import app as finnhub
from sandbox.finnhub.limits import Allowance
from sandbox.gateway import app as gateway
from sandbox.gateway.webhooks import Subscription
from sandbox.server import Place, PortTaken, run

_HIGHEST_PORT = 65_535


def main() -> None:
    """Serve until told to stop; a port that is taken ends the start with one sentence."""
    options = _parser().parse_args()
    allowance = Allowance(options.finnhub_per_minute, options.finnhub_per_second)
    host, data_dir, seed = options.host, options.data_dir, options.seed
    subscription = _subscription(options.webhook_url)
    places = (
        Place(
            "gateway",
            host,
            options.gateway_port,
            lambda: gateway.build(data_dir, subscription=subscription),
        ),
        Place(
            "finnhub",
            host,
            options.finnhub_port,
            lambda: finnhub.build(seed=seed, allowance=allowance),
        ),
        Place("feed", host, options.feed_port, feed.build),
    )
    try:
        run(places)
    except PortTaken as error:
        sys.exit(str(error))


def _subscription(url: str) -> Subscription | None:
    """Read who is told; of two secrets the first is the one that signs."""
    secret = os.environ.get("GATEWAY_WEBHOOK_SECRET", "").partition(",")[0].strip()
    return Subscription(url, secret) if url and secret else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="Stand-ins for a payment gateway, Finnhub and a feed."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--gateway-port", type=_port, required=True)
    parser.add_argument("--finnhub-port", type=_port, required=True)
    parser.add_argument("--feed-port", type=_port, required=True)
    parser.add_argument("--data-dir", type=Path, required=True, help="where the ledger is kept")
    parser.add_argument(
        "--webhook-url",
        default="",
        help="where the gateway posts webhooks, signed with GATEWAY_WEBHOOK_SECRET",
    )
    parser.add_argument("--seed", type=int, default=1, help="decides prices and news")
    limit = "calls a key may make each {}, 0 for no limit (default: %(default)s)"
    parser.add_argument(
        "--finnhub-per-minute", type=_limit, default=60, help=limit.format("minute")
    )
    parser.add_argument(
        "--finnhub-per-second", type=_limit, default=30, help=limit.format("second")
    )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{number} is no port")
    return number


def _limit(text: str) -> int | None:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a limit cannot be negative")
    return number or None


if __name__ == "__main__":
    main()
