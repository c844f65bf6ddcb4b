import pytest

from accounts.attempts import Attempts
from infra.sharing.limiter import Limiter
from tests.support.valkey import Valkey


@pytest.fixture
def attempts(valkey: Valkey) -> Attempts:
    """Counts attempts on the private Valkey; six a minute from one address."""
    limiter = Limiter(valkey.url(), connect_timeout_s=30, timeout_s=30)
    return Attempts(limiter, per_address_per_minute=6)
