"""What request bodies have in common: unknown fields and unprintable text are refused."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

# C0 and C1 controls, line and paragraph separators, direction overrides, halves of a character:
# they forge log lines, move a terminal's cursor or show another text than the one stored.
_UNPRINTABLE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_NOT_IN_A_TEXT = re.compile(f"[{_UNPRINTABLE}]")
_NOT_IN_A_LINE = re.compile(f"[\t\n{_UNPRINTABLE}]")


class Body(BaseModel):
    """A JSON request body; a field that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _refuse_in_a_line(text: str) -> str:
    if _NOT_IN_A_LINE.search(text):
        msg = "must be one line, without control characters"
        raise ValueError(msg)
    return text


def _refuse_in_a_text(text: str) -> str:
    if _NOT_IN_A_TEXT.search(text):
        msg = "must not hold control characters"
        raise ValueError(msg)
    return text


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_refuse_in_a_line),
]
"""One line of text, not empty, without white space around it; add a `max_length`."""

Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_refuse_in_a_text)]
"""Text of many lines; may be empty; add a `max_length`."""
