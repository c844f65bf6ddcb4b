"""Passwords: how they are hashed, and how long a check may take."""

import secrets
import threading
import unicodedata

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

MIN_LENGTH = 10
MAX_LENGTH = 128
_AT_ONCE = 4


class Passwords:
    """Hashes and checks passwords with argon2id, a few at a time.

    Each check takes 19 MiB and one core for a while; without the bound, a burst of sign-ins would
    take the memory of the whole process.

    Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html,
    2026-11 (19 MiB, 2 passes, 1 lane).
    """

    def __init__(self) -> None:
        self._hasher = PasswordHash((Argon2Hasher(memory_cost=19_456, time_cost=2, parallelism=1),))
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._nobodys = self.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Make the text to store: method, cost, salt and hash."""
        with self._turns:
            return self._hasher.hash(_normalised(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is the stored one.

        Without a stored one the answer is no, and takes as long: the time does not tell which
        users exist.
        """
        with self._turns:
            try:
                fits = self._hasher.verify(_normalised(password), stored or self._nobodys)
            except UnknownHashError:  # not one of ours: nobody's password fits it
                return False
        return fits and bool(stored)


def _normalised(password: str) -> str:
    # The same letters come composed from one keyboard and decomposed from another.
    return unicodedata.normalize("NFKC", password)
