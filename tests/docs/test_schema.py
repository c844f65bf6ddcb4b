from docs import make_schema


def test_page_of_tables_is_up_to_date() -> None:
    assert make_schema.PAGE.read_text() == make_schema.render(), "python -m docs.make_schema"
