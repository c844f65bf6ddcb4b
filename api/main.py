"""The web application: `uvicorn api.main:app --port 8012`."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.util import find_spec

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from api import (
    VERSION,
    access,
    access_log,
    asyncapi,
    audit,
    auth,
    candles,
    dashboard,
    deps,
    errors,
    event_history,
    event_tickets,
    events,
    history,
    home,
    market,
    market_search,
    market_status,
    openapi,
    operations_metrics,
    order_changes,
    orders,
    payments,
    probes,
    products,
    queues,
    quotes,
    reconciliation,
    refunds,
    stock,
    syncs,
    tasks,
    users,
    watchlist,
    webhooks,
)
from api.deadline import Deadline
from api.directory import Directory
from api.guard import RequestGuard
from api.head import HeadAsGet
from api.hygiene import CorsList, SecurityHeaders
from api.middleware import RequestLog, SlashAlias, StartupSentence
from infra import heap, logs
from infra.errors import Misconfigured
from infra.logs import log
from infra.settings import AuthMode, Settings, load_settings
from workers.app import hurry_for_requests
from workers.bells import ringing

# Asked most, looked at first: a request is compared with one route after the other.
_ROUTERS = (
    quotes, market, market_search, market_status, watchlist, candles, history, stock, syncs,
    products, orders, order_changes, refunds, reconciliation, webhooks, payments, tasks, queues,
    events, event_history, event_tickets, asyncapi, auth, users, audit, probes, home, dashboard,
)  # fmt: skip
# What runs beside the requests as long as the process does.
_COMPANIONS: tuple[Callable[[FastAPI], AbstractAsyncContextManager[None]], ...] = (
    market.serving,
    events.following,
    operations_metrics.exporting,
)
# FastAPI looks for each of OpenTelemetry's providers in every request, also where no SDK is there
# to be one: that is a twentieth of the time of an answer from memory.
_WITHOUT_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; without `settings` they are read when it starts."""
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Tradepost",
        version=VERSION,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=_lifespan,
        telemetry=None if find_spec("opentelemetry.sdk") else _WITHOUT_TELEMETRY,
    )
    app.state.settings = settings
    app.state.write_access = access_log.write_nothing
    errors.install(app)
    openapi.install(app)
    # Put in as they are, since prefix and tags are theirs already: a router that is included is
    # searched twice for every request, which doubled the time of a small one.
    routes = [route for module in _ROUTERS for route in module.router.routes]
    app.router.routes[:0] = [Directory(routes), *routes]
    # The last one added is the first to see a request.
    app.add_middleware(HeadAsGet)
    app.add_middleware(SlashAlias, routes=app.routes)
    app.add_middleware(Deadline)
    app.add_middleware(RequestGuard)
    app.add_middleware(CorsList)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    app.add_middleware(StartupSentence)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = _settings(app)
    logs.configure(settings, service="api")
    _take_over_the_servers_logs()
    app.state.write_access = access_log.writer(settings)
    hurry_for_requests()
    if "api.connection" not in sys.modules:  # only the server imports it, when it is told to
        log.warning("slow_callers_not_cut_off", hint="uvicorn --http api.connection:Connection")
    async with AsyncExitStack() as stack:
        app.state.collaborators = stack.enter_context(deps.opened(settings))
        if settings.auth_mode is AuthMode.OPEN:
            await run_in_threadpool(access.seat_demo_admin, app.state.collaborators.database)
        stack.enter_context(ringing())
        for companion in _COMPANIONS:
            await stack.enter_async_context(companion(app))
        stack.enter_context(heap.settled())
        yield


def _settings(app: FastAPI) -> Settings:
    try:
        settings: Settings = (app.state.settings or load_settings()).without(*access.OTHERS_SECRETS)
        access.check_start(settings)
    except Misconfigured as error:
        app.state.refusal = error.detail
        raise
    return settings


def _take_over_the_servers_logs() -> None:
    server = logging.getLogger("uvicorn")
    server.handlers.clear()
    server.propagate = True


app = create_app()
