"""How often a password may be tried: for one account, and from one address.

A lock that counted only by account would let a stranger keep its owner out for ever. So wrong
passwords lock an account for the address that they come from. Those of all addresses together lock
it too, since an attacker may have many, but not for an address from which its owner has signed in.
"""

from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address

from accounts.users import normalised
from infra.errors import TooMany
from infra.logs import log
from infra.redis import RedisDown
from infra.sharing.limiter import Allowance, Limiter

FAILURES_PER_ADDRESS = 10
FAILURES_OF_STRANGERS = 100
LOCKOUT_S = 15 * 60
KNOWN_S = 30 * 24 * 60 * 60
_MINUTE_S = 60
# Whoever has one IPv6 address has all 2^64 of its network.
_IPV6_NETWORK_BITS = 64


class TooManyAttempts(TooMany):
    """The account or the address has tried too often."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many attempts. Try again after a while.", retry_after_s=retry_after_s)


class Attempts:
    """Counts attempts; wrong passwords lock an account, whether it exists or not."""

    def __init__(self, limiter: Limiter, *, per_address_per_minute: int) -> None:
        self._limiter = limiter
        self._failures = Allowance("sign-in-failures", FAILURES_PER_ADDRESS, LOCKOUT_S)
        self._strangers = Allowance("strangers-failures", FAILURES_OF_STRANGERS, LOCKOUT_S)
        self._known = Allowance("known-addresses", 1, KNOWN_S)
        self._tries = Allowance("sign-ins", per_address_per_minute, _MINUTE_S)
        self._registrations = Allowance("registrations", per_address_per_minute, _MINUTE_S)

    def check(self, *, account: str, address: str) -> None:
        """Count an attempt of an address, and let it pass unless there were too many.

        Raises:
            TooManyAttempts: the address must wait, or the account is locked for it.
            RedisDown: attempts cannot be counted.
        """
        self._count(self._tries, _network(address))
        wait_s = self._limiter.wait_s(self._failures, _key(account, address))
        if not wait_s and not self._is_known(account, address):
            wait_s = self._limiter.wait_s(self._strangers, _key(account))
        if wait_s:
            raise TooManyAttempts(wait_s)

    def count_failure(self, *, account: str, address: str) -> None:
        """Count a wrong password.

        Raises:
            RedisDown: it cannot be counted.
        """
        self._limiter.count(self._failures, _key(account, address))
        if not self._is_known(account, address):
            self._limiter.count(self._strangers, _key(account))

    def count_success(self, *, account: str, address: str) -> None:
        """Remember whence an owner has shown the right password; forget the wrong ones from there.

        Raises:
            RedisDown: they stay counted.
        """
        self._limiter.forget(self._failures, _key(account, address))
        self._limiter.count(self._known, _key(account, address))

    def check_registration(self, *, address: str) -> None:
        """Count a registration; without Redis it is let pass, since no password can be guessed.

        Raises:
            TooManyAttempts: the address must wait.
        """
        try:
            self._count(self._registrations, _network(address))
        except RedisDown:
            log.warning("registration_not_counted")

    def _is_known(self, account: str, address: str) -> bool:
        return self._limiter.wait_s(self._known, _key(account, address)) > 0

    def _count(self, allowance: Allowance, key: str) -> None:
        if not self._limiter.count(allowance, key):
            raise TooManyAttempts(self._limiter.wait_s(allowance, key) or 1)


def _key(account: str, address: str | None = None) -> str:
    # What somebody types may be of any length and hold anything.
    named = normalised(account) if address is None else f"{_network(address)} {normalised(account)}"
    return sha256(named.encode(errors="replace")).hexdigest()


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:  # the path of a Unix socket
        return "local"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)
