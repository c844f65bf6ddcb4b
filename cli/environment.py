"""What each program is told: the settings by environment, and no secret it does not use."""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

from infra.settings import Settings

_LOOPBACK = "127.0.0.1,localhost,::1"


def base_environment() -> dict[str, str]:
    """Give our own environment without any setting, for programs that know none of them."""
    known = set(Settings.model_fields)
    # Flower takes any option from the environment: also the one that opens its API to everybody.
    plain = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in known and not name.startswith("FLOWER_")
    }
    # Calls among our own programs must not go through a proxy that the environment names.
    beyond = plain.get("no_proxy") or plain.get("NO_PROXY")
    plain["no_proxy"] = plain["NO_PROXY"] = f"{beyond},{_LOOPBACK}" if beyond else _LOOPBACK
    return plain


def environment(
    settings: Settings, *, secrets: Iterable[str] = (), heartbeat: Path | None = None
) -> dict[str, str]:
    """Give the environment of one of our programs: every setting made, but only these secrets.

    `.env` is read once, by the supervisor: the program must not find the rest there.
    """
    allowed = set(secrets)
    told = {
        name.upper(): _as_text(value)
        for name in settings.model_fields_set
        if (value := getattr(settings, name)) is not None
        and (name in allowed or not isinstance(value, SecretStr))
    }
    if heartbeat:
        told["HEARTBEAT_FILE"] = str(heartbeat)
    return {**base_environment(), **told, "ENV_FILE": "", "PYTHONUNBUFFERED": "1"}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
