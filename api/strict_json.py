"""What JSON may look like at our door: stricter than Python's parser, which runs after this."""

import json
from math import isfinite
from typing import Any, NoReturn

MAX_DEPTH = 32


def find_fault(body: bytes) -> str | None:
    """Say what is wrong with a JSON text, None for nothing.

    Refused besides broken syntax: a name twice in one object (readers differ on which one counts),
    NaN and numbers beyond a float, more than `MAX_DEPTH` levels, NUL and halves of characters.
    """
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except RecursionError:
        return _TOO_DEEP
    except ValueError as error:
        return _tell(error)
    # Both only come with an escape, and depth only with brackets: most bodies need no second look.
    if "\\u" in text and _has_bad_text(value):
        return "The body holds NUL or half a character (\\u0000, \\ud800 to \\udfff)."
    many = text.count("[") + text.count("{") > MAX_DEPTH
    return _TOO_DEEP if many and _is_too_deep(value, MAX_DEPTH) else None


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _tell(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "The body is not UTF-8."
    if isinstance(error, json.JSONDecodeError):
        return f"The body is not JSON: {error.msg}, at character {error.pos + 1}."
    return f"The body is not sound JSON: {error}."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        msg = "a name stands twice in one object"
        raise ValueError(msg)
    return made


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        msg = "a number is too large"
        raise ValueError(msg)
    return number


def _int(digits: str) -> int:
    if len(digits) > 40:  # noqa: PLR2004 - longer than any number of ours, short enough to be quick
        msg = "a number is too large"
        raise ValueError(msg)
    return int(digits)


def _constant(name: str) -> NoReturn:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
)


def _is_too_deep(value: object, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_too_deep(part, levels - 1) for part in parts)


def _has_bad_text(value: object) -> bool:
    if isinstance(value, str):
        return any(letter == "\x00" or "\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return any(_has_bad_text(key) or _has_bad_text(part) for key, part in value.items())
    return isinstance(value, list) and any(_has_bad_text(part) for part in value)
