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


def with_gateway_of_run(settings: Settings) -> Settings:
    """Use the stand-in of a run over the same data folder where no gateway is configured."""
    if settings.payment_gateway != "sandbox" or settings.gateway_url:
        return settings
    return settings.model_copy(update={"gateway_url": _url_of("gateway", settings)})


def _find() -> Settings:
    settings = load_settings()
    if not settings.uses_embedded_redis:
        return settings
    if found := _url_of("redis", settings):
        os.environ["BROKER_URL"] = found
    return load_settings()


def _url_of(service: str, settings: Settings) -> str | None:
    told = settings.data_dir / "run.json"
    if not told.exists():
        return None
    services = json.loads(told.read_bytes()).get("services", {})
    url: str | None = services.get(service, {}).get("url")
    return url
