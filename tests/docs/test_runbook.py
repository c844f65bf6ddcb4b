import sqlalchemy as sa

from infra.db import Database
from tests.docs.pages import blocks
from tests.support.processes import ROOT

PAGE = ROOT / "docs/runbook.md"


def test_statements_run_on_each_database(each_database: Database) -> None:
    statements = [
        statement.strip()
        for block in blocks(PAGE, "sql")
        for statement in block.split(";")
        if statement.strip()
    ]

    with each_database.sessions.begin() as session:
        for statement in statements:
            session.execute(sa.text(statement))

    assert len(statements) >= 7
