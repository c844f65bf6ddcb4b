"""What those with more than a customer's rights changed, written in the change's own transaction.

An endpoint that an operator calls works with sessions from `audited`: whatever it commits through
them leaves a row, so a new endpoint cannot forget to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, sessionmaker

from accounts.tables import AuditEntry
from infra import clock
from infra.database.prepared import WROTE
from infra.db import Sessions

_DOING, _MADE = "audit.doing", "audit.made"
_SUBJECT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Doing:
    """Who is doing what, to what, at whose request.

    Without `subject` it is the first thing that the transaction makes.
    """

    user_id: int | None
    action: str
    subject: str | None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the audit log."""

    id: int
    at: datetime
    user_id: int | None
    action: str
    subject: str
    request_id: str


class AuditedSession(Session):
    """A session whose every commit of a change adds a row to the audit log."""


def audited(sessions: Sessions, doing: Doing) -> Sessions:
    """Make sessions like these, whose changes are written down as `doing`."""
    return sessionmaker(**{**sessions.kw, "class_": AuditedSession, "info": {_DOING: doing}})


def list_entries(
    session: Session, *, below: int | None, limit: int, user_id: int | None = None
) -> Sequence[Entry]:
    """List what was done, newest first, with ids below `below`."""
    query = sa.select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if below is not None:
        query = query.where(AuditEntry.id < below)
    if user_id is not None:
        query = query.where(AuditEntry.user_id == user_id)
    return [
        Entry(row.id, row.at, row.user_id, row.action, row.subject, row.request_id)
        for row in session.scalars(query)
    ]


@event.listens_for(AuditedSession, "do_orm_execute")
def _note_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        state.session.info[WROTE] = True


@event.listens_for(AuditedSession, "after_flush")
def _note_objects(session: Session, _context: UOWTransaction) -> None:
    session.info[WROTE] = True
    for made in session.new:
        if (made_id := getattr(made, "id", None)) is not None:
            session.info.setdefault(_MADE, f"{made.__tablename__}/{made_id}")
            return


@event.listens_for(AuditedSession, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(WROTE, None)
    session.info.pop(_MADE, None)


@event.listens_for(AuditedSession, "before_commit")
def _write_down(session: Session) -> None:
    session.flush()
    if not session.info.pop(WROTE, False):
        return
    doing: Doing = session.info[_DOING]
    made = session.info.pop(_MADE, "")
    session.add(
        AuditEntry(
            at=clock.now(session),
            user_id=doing.user_id,
            action=doing.action,
            subject=(doing.subject or made)[:_SUBJECT_LENGTH],
            request_id=doing.request_id,
        )
    )
