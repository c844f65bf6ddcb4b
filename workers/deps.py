"""What tasks work with, made once per process on first use."""

from datetime import timedelta
from functools import cache

from infra import redis
from infra.bells import Bells
from infra.db import Database, open_database
from infra.events.relay import Relay
from infra.events.retention import Retention
from infra.jobs.journal import Journal
from infra.parallel import forget_threads
from infra.settings import Settings, load_settings
from infra.sharing import signs
from infra.sharing.signs import Signs
from infra.sharing.tally import Tally
from infra.streams import Streams
from shop.gateways.choice import open_gateway
from shop.gateways.protocol import PaymentGateway
from shop.sync import Supplier
from workers.topics import TOPICS

# A worker never holds what tokens are signed with, should its environment hold it.
_OTHERS_SECRETS = (
    "secret_key",
    "gateway_webhook_secret",
    "stripe_webhook_secret",
    "flower_basic_auth",
)
BELL_CONNECT_TIMEOUT_S = 0.2
BELL_TIMEOUT_S = 0.3


@cache
def settings() -> Settings:
    """Read the settings, without the secrets that only the API and Flower need."""
    return load_settings().without(*_OTHERS_SECRETS)


@cache
def database() -> Database:
    """Open the database."""
    return open_database(settings().database)


@cache
def bells() -> Bells:
    """Open the bells; their waits are short, since a sweep does what a lost bell does not."""
    return Bells(_hurried(settings().cache))


@cache
def canaries() -> Signs:
    """Open where canaries say that they were run."""
    return Signs(_hurried(settings().cache), signs.CANARIES)


@cache
def presence() -> Signs:
    """Open where workers say that they are there."""
    return Signs(_hurried(settings().cache), signs.WORKERS)


@cache
def rung() -> Signs:
    """Open where beat says what it has rung."""
    return Signs(_hurried(settings().cache), signs.SCHEDULE)


@cache
def trades() -> Signs:
    """Open where the processes that hear trades say that they are there."""
    return Signs(_hurried(settings().cache), signs.TRADES)


@cache
def tally() -> Tally:
    """Open the counters that all workers share."""
    return Tally(_hurried(settings().cache))


@cache
def journal() -> Journal:
    """Open the history of tasks."""
    return Journal(database().sessions)


@cache
def relay() -> Relay:
    """Build the relay from database and streams."""
    return make_relay(settings(), database())


@cache
def retention() -> Retention:
    """Say what is kept of events, and where."""
    return make_retention(settings(), relay())


@cache
def gateway() -> PaymentGateway:
    """Open the payment gateway that the settings choose."""
    return open_gateway(settings())


@cache
def supplier() -> Supplier:
    """Name the product feed, what a new product starts with, and how often to sync."""
    chosen = settings()
    return Supplier(
        chosen.feed_url,
        chosen.currency,
        chosen.default_stock,
        is_stand_in=chosen.feed_is_stand_in,
        every=timedelta(seconds=chosen.sync_every_s) if chosen.sync_every_s else None,
    )


def make_relay(chosen: Settings, opened: Database) -> Relay:
    """Build a relay as settings say."""
    return Relay(
        sessions=opened.sessions,
        streams=Streams(redis.connect(chosen.streams)),
        topics=TOPICS,
        retention=timedelta(hours=chosen.stream_retention_h),
        most=chosen.stream_max_length,
    )


def make_retention(chosen: Settings, over: Relay) -> Retention:
    """Say what is kept of a relay's events, as settings say."""
    return Retention(
        sessions=over.sessions,
        streams=over.streams,
        topics=TOPICS,
        entries=over.retention,
        most=over.most,
        idle=timedelta(hours=chosen.group_idle_h),
        rows=max(over.retention, timedelta(days=chosen.event_retention_days)),
    )


def forget() -> None:
    """Drop what was inherited over a fork, without closing what the parent still uses."""
    if database.cache_info().currsize:
        database().engine.dispose(close=False)
    for made in (
        database,
        bells,
        canaries,
        presence,
        rung,
        trades,
        tally,
        journal,
        relay,
        retention,
        gateway,
    ):
        made.cache_clear()
    forget_threads()


def _hurried(url: str) -> redis.Client:
    return redis.connect(url, connect_timeout_s=BELL_CONNECT_TIMEOUT_S, timeout_s=BELL_TIMEOUT_S)
