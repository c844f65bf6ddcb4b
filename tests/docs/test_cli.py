from docs import make_cli


def test_page_of_commands_is_up_to_date() -> None:
    assert make_cli.PAGE.read_text() == make_cli.render(), "python -m docs.make_cli"
