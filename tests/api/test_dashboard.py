"""The dashboard's files as a browser gets them: built or not."""

from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Api, Starter

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
PAGE = (
    '<!doctype html><title>Built</title><script type="module" src="/assets/index-1a2b.js"></script>'
)


@pytest.fixture(scope="session")
def built_api(api_of: Starter, tmp_path_factory: pytest.TempPathFactory) -> Api:
    dist = tmp_path_factory.mktemp("dist")
    (dist / "assets").mkdir()
    (dist / "index.html").write_text(PAGE)
    (dist / "secret.txt").write_text("not to be had")
    (dist / "assets" / "index-1a2b.js").write_text("export {}")
    (dist / "assets" / "icon.svg").write_text("<svg/>")
    return api_of("required", DASHBOARD_DIR=str(dist))


@pytest.mark.parametrize("path", ["/", "/app", "/app/market", "/app/orders/17"])
def test_every_path_of_the_dashboard_is_its_page(built_api: Api, path: str) -> None:
    with built_api.client(**BROWSER) as client:
        answer = client.get(path)

    assert answer.text == PAGE
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy


def test_scripts_are_kept_for_ever_and_pictures_are_asked_for_again(built_api: Api) -> None:
    with built_api.client() as client:
        script, icon = client.get("/assets/index-1a2b.js"), client.get("/assets/icon.svg")

    assert (script.text, script.headers["content-type"].split(";")[0]) == (
        "export {}",
        "text/javascript",
    )
    assert "immutable" in script.headers["cache-control"]
    assert "immutable" not in icon.headers.get("cache-control", "")


@pytest.mark.parametrize(
    "path", ["/assets/none.js", "/assets/../secret.txt", "/assets/%2e%2e/secret.txt", "/assets/"]
)
def test_nothing_but_its_files_is_sent(built_api: Api, path: str) -> None:
    with built_api.client() as client:
        answer = client.get(path)

    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"


def test_programs_get_the_facts_where_browsers_get_the_page(built_api: Api) -> None:
    with built_api.client() as client:
        assert client.get("/").json()["fee_rate"] == "0.20"


def test_front_page_says_how_to_get_a_dashboard_that_is_not_built(
    api_of: Starter, tmp_path: Path
) -> None:
    api = api_of("required", DASHBOARD_DIR=str(tmp_path / "nothing"))
    with api.client(**BROWSER) as client:
        front, page = client.get("/"), client.get("/app/market")
        script = client.get("/assets/index-1a2b.js")

    assert "make run" in front.text
    assert "npm" in front.text
    assert page.headers["location"] == "/"
    assert script.status_code == httpx.codes.NOT_FOUND
