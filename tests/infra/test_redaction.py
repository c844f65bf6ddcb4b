import pytest
from pydantic import SecretStr

from infra.redaction import redact, secrets_of
from infra.settings import Settings


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("at mysql+pymysql://tradepost:s3cret@db/tradepost", "at mysql+pymysql://tradepost:***@db"),
        ("redis://:s3cret@cache:6379/0", "redis://:***@cache"),
        ("Authorization: Bearer abc.DEF-123456", "Bearer ***"),
        ("key sk_live_4eC39HqLyjWDarjtT1", "key ***"),
        ("?symbol=AAPL&token=c0ffee99", "?symbol=AAPL&token=***"),
        ("{'password': 'hunter22', 'n': 1}", "'password': '***', 'n': 1"),
        ("card tok_visa declined, token='tok_visa'", "card tok_visa declined, token='tok_visa'"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, clean: str) -> None:
    assert clean in redact(text)


def test_secrets_of_the_settings_are_hidden_wherever_they_stand() -> None:
    settings = Settings(
        finnhub_api_key=SecretStr("f1nnhub-key"),
        database_url=SecretStr("mysql://me:p%40ssword@db/shop"),
    )

    text = redact("f1nnhub-key, p%40ssword and p@ssword at db", secrets_of(settings))

    assert text == "***, *** and *** at db"
