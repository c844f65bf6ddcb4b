"""A receipt printer: one receipt for every completed order, in a database of its own.

It is a service beside Tradepost: it reads the streams in Redis, asks the API for what they no
longer hold, and needs no access to Tradepost's database. Start as many as you like.
"""

import os
import signal
from threading import Event as Signal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra import redis
from infra.consumers import inbox
from infra.consumers.consumer import Consumer, Terms, new_name
from infra.consumers.group import Group
from infra.consumers.past import ApiPast
from infra.db import open_database
from infra.events import entries
from infra.events.entries import Entry
from shop.payloads import OrderData

GROUP, TOPICS = "receipts", ["orders"]

receipts = sa.Table(
    "receipt",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("order_id", sa.BigInteger, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)


def handle(session: Session, event: Entry) -> None:
    """Print a receipt, in the transaction in which the event counts as handled."""
    if event.type != "order.completed":
        return
    order = entries.read(event, OrderData)
    lines = [f"{line['quantity']} x {line['name']}" for line in order["items"]]
    text = "\n".join([*lines, f"{order['total']:.2f} {order['currency']}"])
    session.execute(sa.insert(receipts).values(order_id=order["id"], text=text))


def main() -> None:
    """Print receipts until SIGTERM."""
    stop = Signal()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = open_database(os.environ["RECEIPTS_DATABASE"])
    inbox.create_tables(database.engine)
    receipts.create(database.engine, checkfirst=True)
    client = redis.connect(os.environ["STREAMS_URL"])
    past = ApiPast(os.environ["TRADEPOST_URL"], token=os.environ.get("TRADEPOST_TOKEN"))
    group = Group(client, GROUP, TOPICS, consumer=new_name())
    terms = Terms(from_oldest=True, claim_after_s=float(os.environ.get("CLAIM_AFTER_S", "30")))
    Consumer(group, database.sessions, past, handle, terms).run(stop)


if __name__ == "__main__":
    main()
