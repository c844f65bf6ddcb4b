"""How often a password may be tried: for one account, and from one address."""

from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address

from accounts.users import normalised
from infra.errors import TooMany
from infra.limiter import Allowance, Limiter
from infra.logs import log
from infra.redis import RedisDown

FAILURES_PER_ACCOUNT = 10
LOCKOUT_S = 15 * 60
_MINUTE_S = 60
# Whoever has one IPv6 address has all 2^64 of its network.
_IPV6_NETWORK_BITS = 64


class TooManyAttempts(TooMany):
    """The account or the address has tried too often."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many attempts. Try again after a while.", retry_after_s=retry_after_s)


class Attempts:
    """Counts attempts; wrong passwords of an account, whether it exists or not, lock it."""

    def __init__(self, limiter: Limiter, *, per_address_per_minute: int) -> None:
        self._limiter = limiter
        self._failures = Allowance("sign-in-failures", FAILURES_PER_ACCOUNT, LOCKOUT_S)
        self._tries = Allowance("sign-ins", per_address_per_minute, _MINUTE_S)
        self._registrations = Allowance("registrations", per_address_per_minute, _MINUTE_S)

    def check(self, *, account: str, address: str) -> None:
        """Count an attempt of an address, and let it pass unless there were too many.

        Raises:
            TooManyAttempts: the address must wait, or the account is locked.
            RedisDown: attempts cannot be counted.
        """
        self._count(self._tries, _network(address))
        wait_s = self._limiter.wait_s(self._failures, _account_key(account))
        if wait_s:
            raise TooManyAttempts(wait_s)

    def count_failure(self, *, account: str) -> None:
        """Count a wrong password.

        Raises:
            RedisDown: it cannot be counted.
        """
        self._limiter.count(self._failures, _account_key(account))

    def forget_failures(self, *, account: str) -> None:
        """Forget the wrong passwords of an account whose owner has shown the right one.

        Raises:
            RedisDown: they stay counted.
        """
        self._limiter.forget(self._failures, _account_key(account))

    def check_registration(self, *, address: str) -> None:
        """Count a registration; without Redis it is let pass, since no password can be guessed.

        Raises:
            TooManyAttempts: the address must wait.
        """
        try:
            self._count(self._registrations, _network(address))
        except RedisDown:
            log.warning("registration_not_counted")

    def _count(self, allowance: Allowance, key: str) -> None:
        if not self._limiter.count(allowance, key):
            raise TooManyAttempts(self._limiter.wait_s(allowance, key) or 1)


def _account_key(email: str) -> str:
    # What somebody types may be of any length and hold anything.
    return sha256(normalised(email).encode(errors="replace")).hexdigest()


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # the path of a Unix socket
        return "local"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)
