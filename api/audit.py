"""What operators did, for admins to read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel

from accounts import audit
from accounts.audit import Entry
from api.deps import Admin, Reads, RoleRequired, TokenRequired
from api.errors import problems
from api.paging import BadCursor, Paging

router = APIRouter(prefix="/audit", tags=["people"])


class EntryOut(BaseModel):
    """Something that an operator, an admin or the command line changed."""

    id: int
    at: datetime
    user_id: int | None
    action: str
    subject: str
    request_id: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Show an entry."""
        return cls.model_validate(entry, from_attributes=True)


@router.get("/", responses=problems(TokenRequired, RoleRequired, BadCursor))
def list_audit(
    _: Admin,
    page: Paging,
    reads: Reads,
    user_id: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="Only what this user did.")
    ] = None,
) -> Sequence[EntryOut]:
    """List what was changed with an operator's rights, newest first. Admins only."""
    with reads() as session:
        found = audit.list_entries(session, below=page.below, limit=page.fetch, user_id=user_id)
    return [EntryOut.of(entry) for entry in page.show(found, key=lambda entry: entry.id)]
