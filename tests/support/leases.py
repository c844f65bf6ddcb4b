"""Time passes at once: leases of the dead end, later checks come due, and goods leave."""

from sqlalchemy.orm import Session

from infra.db import Database, transact

_PASSED = {
    "mysql": "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 second')",
}


def let_leases_end(database: Database) -> None:
    """End every lease, as if its whole time had passed; whoever still works has lost it.

    The tokens stay: a holder who wakes up again believes that it still holds the lease.
    """
    _write(
        database,
        "UPDATE payment SET lease_until = {passed} WHERE lease_until IS NOT NULL",
        "UPDATE refund SET due_at = {passed} WHERE lease_token IS NOT NULL",
        "UPDATE sync_run SET lease_until = {passed} WHERE lease_until IS NOT NULL",
    )


def let_checks_come_due(database: Database) -> None:
    """Make due now what is to be looked at again later: unknown charges and refunds."""
    _write(
        database,
        "UPDATE payment SET due_at = {passed} WHERE due_at IS NOT NULL AND lease_token IS NULL",
        "UPDATE refund SET due_at = {passed} WHERE due_at IS NOT NULL AND lease_token IS NULL",
    )


def let_goods_leave(database: Database) -> None:
    """Make due now the fulfilment of what is paid, so that a test may look at it before."""
    _write(database, "UPDATE payment SET fulfil_at = {passed} WHERE fulfil_at IS NOT NULL")


def _write(database: Database, *statements: str) -> None:
    passed = _PASSED[database.engine.dialect.name]

    def pass_time(session: Session) -> None:
        for statement in statements:
            # exec_driver_sql, because a colon in the format would be taken for a parameter
            session.connection().exec_driver_sql(statement.format(passed=passed))

    transact(database.sessions, pass_time)  # who is at work may lock the same rows crosswise
