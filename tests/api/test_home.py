import re
import tomllib

import httpx

from api import VERSION
from tests.api.conftest import Api
from tests.support.processes import ROOT
from tests.support.valkey import Valkey


def test_front_page_says_what_runs_and_where_to_go(open_api: Api, valkey: Valkey) -> None:
    with open_api.client() as client:
        told = client.get("/").json()

    assert (told["name"], told["version"], told["auth_mode"]) == ("tradepost", VERSION, "open")
    # No worker has said where figures come from, and this process cannot know.
    assert (told["market"], told["payments"]) == ("unknown", "simulated")
    assert told["links"]["docs"] == "/docs"
    assert told["links"]["flower"] == "http://127.0.0.1:5555"


def test_browser_gets_a_page_that_loads_nothing_from_elsewhere(open_api: Api) -> None:
    with open_api.client(Accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8") as client:
        answer = client.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert '<a href="/docs">' in answer.text
    assert not re.search(r"""(src|@import|url\(|<link[^>]+href="(?!data:))""", answer.text)


def test_docs_work_without_a_network(open_api: Api) -> None:
    with open_api.client() as client:
        page = client.get("/docs").text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        found = {url: client.get(url).status_code for url in loaded}

    assert loaded
    assert set(found.values()) == {httpx.codes.OK}
    assert "://" not in page.replace("http://www.w3.org", "")


def test_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
