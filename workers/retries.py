"""Have a failed task tried again: what it did is asked for anew, and its bell is rung."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from infra.db import Sessions, transact
from infra.jobs import tasks
from infra.jobs.tasks import TaskNotFailed, TaskState
from shop import reconciliation, refund_requests, sync
from workers.bells import send

Arguments = Mapping[str, Any]


def retry(
    sessions: Sessions, run_id: int, *, audited: Sessions | None = None, by: int = 0
) -> dict[str, Any]:
    """Ask again for what a failed task did, and ring; the same wish again changes nothing.

    Raises:
        TaskNotFound: there is none.
        TaskNotFailed: it has not failed.
    """
    with sessions.begin() as session:
        failed = tasks.get(session, run_id)
    if failed["state"] not in (TaskState.FAILED, TaskState.RETRIED):
        raise TaskNotFailed(run_id, failed["state"])
    ask = _ASK.get(failed["name"])
    asks_anew = ask is not None and bool(failed["arguments"])
    if asks_anew and ask is not None and failed["state"] == TaskState.FAILED:
        ask(sessions, failed, by)
    transact(audited or sessions, lambda session: tasks.retry(session, run_id))
    # What was asked for anew has a row of its own; a bell's next run is told to this one.
    send(failed["name"], queue=failed["queue"], retry_of=None if asks_anew else run_id)
    with sessions.begin() as session:
        return tasks.get(session, run_id)


def _ask_sync(sessions: Sessions, failed: Arguments, _by: int) -> None:
    dry_run = bool(failed["arguments"].get("dry_run"))
    transact(sessions, lambda session: sync.request(session, dry_run=dry_run))


def _ask_reconciliation(sessions: Sessions, failed: Arguments, _by: int) -> None:
    reconciliation.request(sessions, date.fromisoformat(failed["arguments"]["day"]), anew=True)


def _ask_refund(sessions: Sessions, failed: Arguments, by: int) -> None:
    """Ask for a refused refund again, under a key of its own; one still on its way is only rung."""
    transact(
        sessions,
        lambda session: refund_requests.request_again(
            session,
            failed["arguments"]["refund_id"],
            requested_by=by,
            idempotency_key=f"task-{failed['id']}-{failed['tries']}",
        ),
    )


_ASK: dict[str, Callable[[Sessions, Arguments, int], None]] = {
    "products.sync": _ask_sync,
    "payments.reconcile": _ask_reconciliation,
    "refunds.settle": _ask_refund,
}
