"""Take secrets out of texts that people and programs get to see."""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from infra.settings import Settings

HIDDEN = "***"
_SHORTEST = 6
_PATTERNS = (
    (re.compile(r"(?<=://)([^\s:/@]*):[^\s@/]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)(bearer|basic)\s+[a-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_]{6,}"), HIDDEN),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|api_?key|x-finnhub-token)"
            r"(['\"]?\s*[=:]\s*['\"]?)(?!tok_)[^\s'\"&,;)}\]]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """List every secret that the settings hold, whole URLs with their passwords apart."""
    held = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            password = urlsplit(text).password if "://" in text else None
            held += [password, unquote(password)] if password else [text]
    return tuple(sorted({text for text in held if len(text) >= _SHORTEST}, key=len, reverse=True))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide secrets that are known, and whatever looks like one: logins in URLs, tokens, keys."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern, shown in _PATTERNS:
        text = pattern.sub(shown, text)
    return text
