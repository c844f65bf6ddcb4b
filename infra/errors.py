"""The tree of errors that callers may catch.

Concrete errors stand beside the function that raises them; HTTP status codes stand only in the
HTTP edge.
"""

from typing import ClassVar


class AppError(Exception):
    """A failure with a stable `code` for machines and a sentence for people."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class NotFound(AppError):
    """The thing asked for does not exist, or not for this caller."""

    code = "not_found"


class Gone(AppError):
    """The thing was there, and is not kept any more."""

    code = "gone"


class Conflict(AppError):
    """The request is sound, but the present state does not allow it."""

    code = "conflict"


class PreconditionFailed(AppError):
    """The thing is no longer as the caller said it must be."""

    code = "precondition_failed"


class Invalid(AppError):
    """The request asks for something that can never be right."""

    code = "invalid"


class Unauthenticated(AppError):
    """Nobody we know is asking."""

    code = "unauthenticated"


class Forbidden(AppError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class TooMany(AppError):
    """The caller asks more often than allowed."""

    code = "too_many_requests"

    def __init__(self, detail: str, *, retry_after_s: int, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s


class Transient(AppError):
    """It did not work now and may work soon: the same request may be sent again."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s


class TimedOut(Transient):
    """Nobody answered in the time allowed."""

    code = "timeout"


class Misconfigured(AppError):
    """A setting is missing or wrong; the text names it and says what to do."""

    code = "misconfigured"
