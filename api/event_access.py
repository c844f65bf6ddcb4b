"""Who may see which events: the same for those who follow and for those who look back."""

from accounts.callers import Caller
from api.deps import TokenRequired
from infra.errors import Forbidden, Invalid
from infra.events.entries import Entry
from market.events import TOPICS as MARKET_TOPICS
from shop.events import ORDERS, PAYMENTS, PRODUCTS
from workers.topics import KINDS, TOPICS

PUBLIC_TOPICS = frozenset({PRODUCTS, *MARKET_TOPICS})
PERSONAL_TOPICS = frozenset({ORDERS, PAYMENTS})
_SHOWN_NAME = 40


class UnknownTopic(Invalid):
    """There is no such topic."""

    code = "unknown_topic"

    def __init__(self, topic: str) -> None:
        known = ", ".join(TOPICS)
        super().__init__(f"topics: there is no topic {topic[:_SHOWN_NAME]!r}. There are: {known}.")


class UnknownType(Invalid):
    """There is no such type of event."""

    code = "unknown_type"

    def __init__(self, name: str) -> None:
        super().__init__(f"types: there is no type {name[:_SHOWN_NAME]!r}; /asyncapi.json has all.")


class TopicForbidden(Forbidden):
    """The topic is for operators."""

    code = "topic_forbidden"

    def __init__(self, topic: str) -> None:
        super().__init__(f"The topic {topic} needs the role operator.")


def choose(topics: str | None, caller: Caller | None) -> list[str]:
    """Read topics joined by commas; all that the caller may see if none are named.

    Raises:
        UnknownTopic: one is none of ours.
        TokenRequired: one is not for strangers.
        TopicForbidden: one is for operators.
    """
    if topics is None:
        return [topic for topic in TOPICS if _may_see(topic, caller)]
    chosen = list(dict.fromkeys(topic.strip() for topic in topics.split(",") if topic.strip()))
    for topic in chosen or [topics]:
        check(topic, caller)
    return chosen


def choose_types(names: str | None) -> frozenset[str] | None:
    """Read types joined by commas; None, which is all, if none are named.

    Raises:
        UnknownType: one of them never comes.
    """
    if names is None:
        return None
    chosen = frozenset(name.strip() for name in names.split(",") if name.strip())
    for name in chosen or [names]:
        if name not in KINDS:
            raise UnknownType(name)
    return chosen


def check(topic: str, caller: Caller | None) -> None:
    """Refuse a topic that does not exist, or is not for this caller.

    Raises:
        UnknownTopic: it is none of ours.
        TokenRequired: it is not for strangers.
        TopicForbidden: it is for operators.
    """
    if topic not in TOPICS:
        raise UnknownTopic(topic)
    if not _may_see(topic, caller):
        raise TokenRequired if caller is None else TopicForbidden(topic)


def sees_all_of(topic: str, caller: Caller | None) -> bool:
    """Tell whether a caller who may read a topic sees all of it, or his own things only."""
    return topic not in PERSONAL_TOPICS or (caller is not None and caller.is_operator)


def may_see(entry: Entry, caller: Caller | None) -> bool:
    """Tell whether an event of a topic that the caller may read is for his eyes."""
    if sees_all_of(entry.topic, caller):
        return True
    return caller is not None and entry.data.get("user_id") == caller.user_id


def _may_see(topic: str, caller: Caller | None) -> bool:
    if topic in PUBLIC_TOPICS:
        return True
    return caller is not None and (caller.is_operator or topic in PERSONAL_TOPICS)
