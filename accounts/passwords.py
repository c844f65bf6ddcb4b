"""Passwords: how they are hashed and checked."""

import secrets
import unicodedata

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

MIN_LENGTH = 10
MAX_LENGTH = 128


class Passwords:
    """Hashes and checks passwords with argon2id.

    Each takes 19 MiB and one core for a while: whoever serves many callers lets them take turns.

    Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html,
    2026-11 (19 MiB, 2 passes, 1 lane).
    """

    def __init__(self) -> None:
        self._hasher = PasswordHash((Argon2Hasher(memory_cost=19_456, time_cost=2, parallelism=1),))
        self._nobodys = self.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Make the text to store: method, cost, salt and hash."""
        return self._hasher.hash(_normalised(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is the stored one.

        Without a stored one the answer is no, and takes as long: the time does not tell which
        users exist.
        """
        try:
            fits = self._hasher.verify(_normalised(password), stored or self._nobodys)
        except UnknownHashError:  # not one of ours: nobody's password fits it
            return False
        return fits and bool(stored)


def _normalised(password: str) -> str:
    # The same letters come composed from one keyboard and decomposed from another.
    return unicodedata.normalize("NFKC", password)
