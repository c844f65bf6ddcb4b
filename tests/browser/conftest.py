"""A real browser before a whole run: Chromium as the system has it, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from infra.db import Database
from tests.support.processes import ROOT, Nursery, eventually
from tests.support.run import WholeRun

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window.

    No longer than a module: while it lives, an event loop runs in this thread, and no test with
    a loop of its own could.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    assert program, "There is no Chromium: install Debian's package chromium, or run `make test`."
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeRun]:
    """A whole embedded run, with a catalogue, in which paid orders stay so until time passes."""
    assert (ROOT / "web/dist/index.html").exists(), "The dashboard is not built: run `make web`."
    with nursery.group():
        run = WholeRun(
            nursery, tmp_path_factory.mktemp("browser") / "var", FULFILMENT_DELAY_S="600"
        )
        eventually(lambda: run.get("/products/"), what="the first sync")
        yield run


class Windows:
    """Opens pages of the dashboard, and keeps what they complain of."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, path: str, *, dark: bool = False, width: int = 1280) -> Page:
        """Open a window of its own at a path, as a browser with nothing stored."""
        context = self._browser.new_context(
            base_url=self._url,
            locale="en-US",
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path)
        return page

    def _hear(self, told: ConsoleMessage) -> None:
        if told.type == "error":
            self.complaints.append(told.text)

    def close(self) -> None:
        """Close them all."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def windows(browser: Browser, run: WholeRun) -> Iterator[Windows]:
    windows = Windows(browser, run.url("api"))
    yield windows
    windows.close()


@pytest.fixture
def database(run: WholeRun) -> Iterator[Database]:
    opened = run.database()
    yield opened
    opened.engine.dispose()


Buy = Callable[..., int]


@pytest.fixture
def buy(windows: Windows) -> Buy:
    """Put the product named into a fresh window's cart and pay; return the order's id."""

    def buy(page: Page, product: str, *, card: str = "Visa that works") -> int:
        page.goto("/app/shop")
        page.get_by_role("searchbox").fill(product)
        page.get_by_role("button", name=f"Add to cart: {product}").click()
        page.get_by_role("link", name="Cart").first.click()
        page.get_by_label("Test card").select_option(label=card)
        page.get_by_role("button", name="Place order").click()
        page.wait_for_url("**/app/orders/*")
        return int(page.url.rsplit("/", 1)[1])

    return buy
