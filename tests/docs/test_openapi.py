"""The document that the dashboard's types are made of."""

from docs import make_openapi


def test_dashboard_knows_the_api_as_it_is() -> None:
    assert make_openapi.TARGET.read_text() == make_openapi.make(), (
        "web/openapi.json is out of date: run `python -m docs.make_openapi`."
    )
