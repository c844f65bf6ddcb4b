"""What a command works with: the servers of the settings, else of a run over the same folder."""

import json
import os

from infra.settings import Settings, load_settings


def settings_of_run() -> Settings:
    """Read the settings; Redis is the embedded one of a run that is under way, if none is set.

    What is found is put into the environment, where the tasks' own side looks for it. Logs go to
    standard error from now on: the output is the command's.
    """
    from infra import logs  # noqa: PLC0415 - slow to import

    settings = _find()
    logs.configure(settings, service="cli")
    return settings


def _find() -> Settings:
    settings = load_settings()
    told = settings.data_dir / "run.json"
    if not settings.uses_embedded_redis or not told.exists():
        return settings
    services = json.loads(told.read_bytes()).get("services", {})
    found = services.get("redis", {}).get("url")
    if found:
        os.environ["BROKER_URL"] = found
    return load_settings()
