"""The dashboard where everybody signs in: what is another's is not there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Windows
from tests.support.processes import Nursery, eventually
from tests.support.run import WholeRun

pytestmark = pytest.mark.proof

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def run(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeRun]:
    """A whole run that trusts nobody."""
    with nursery.group():
        run = WholeRun(nursery, tmp_path_factory.mktemp("people") / "var", AUTH_MODE="required")
        eventually(lambda: run.get("/products/"), what="the first sync")
        yield run


@pytest.fixture
def windows(browser: Browser, run: WholeRun) -> Iterator[Windows]:
    windows = Windows(browser, run.url("api"))
    yield windows
    windows.close()


def join(page: Page, name: str) -> None:
    page.get_by_role("button", name="I am new here").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("E-mail").fill(f"{name.lower()}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("link", name=name)).to_be_visible()


def test_one_customer_does_not_see_the_other(windows: Windows) -> None:
    ada, bob = windows.open("/app/sign-in"), windows.open("/app/sign-in?next=/app/orders")
    join(ada, "Ada")
    join(bob, "Bob")

    ada.goto("/app/shop")
    ada.get_by_role("button", name="Add to cart: Linen Shirt").click()
    ada.get_by_role("link", name="Cart").click()
    ada.get_by_role("button", name="Place order").click()
    expect(ada.get_by_role("region", name="State")).to_contain_text("Paid")
    expect(bob.get_by_text("There are no orders yet.")).to_be_visible()
    bob.goto(ada.url)

    expect(bob.get_by_role("heading", level=1)).to_have_text("There is no such order.")
    expect(bob.get_by_role("link", name="Operations")).to_have_count(0)


def test_stranger_is_asked_to_sign_in_and_comes_back(windows: Windows) -> None:
    page = windows.open("/app/orders")

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    join(page, "Cleo")

    expect(page.get_by_role("heading", name="Orders")).to_be_visible()


def test_wrong_password_is_told_on_the_form(windows: Windows) -> None:
    page = windows.open("/app/sign-in")
    page.get_by_label("E-mail").fill("nobody@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_be_visible()


def test_person_changes_his_address_with_his_password(windows: Windows) -> None:
    page = windows.open("/app/sign-in")
    join(page, "Dora")
    page.get_by_role("link", name="Dora").click()
    account = page.get_by_role("form", name="Account")

    account.get_by_label("Name").fill("Dorothea")
    account.get_by_label("E-mail").fill("dorothea@example.org")
    account.get_by_label("Your password").fill("not the password")
    account.get_by_role("button", name="Save").click()
    expect(account.get_by_role("alert")).to_contain_text("not your password")
    account.get_by_label("Your password").fill(PASSWORD)
    account.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", name="Dorothea")).to_be_visible()
    expect(page.get_by_text("dorothea@example.org")).to_be_visible()
    expect(account.get_by_label("Your password")).to_have_count(0)


def test_person_changes_his_password_and_goes_on(windows: Windows) -> None:
    page = windows.open("/app/sign-in?next=/app/profile")
    join(page, "Egon")
    form = page.get_by_role("form", name="Password")

    form.get_by_label("Current password").fill(PASSWORD)
    form.get_by_label("New password").fill(PASSWORD.upper())
    form.get_by_role("button", name="Change password").click()

    expect(page.get_by_text("The password is changed.")).to_be_visible()
    expect(page.get_by_role("heading", name="Egon")).to_be_visible()
