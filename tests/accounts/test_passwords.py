import time

import pytest

from accounts.passwords import Passwords


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


def test_right_password_fits(passwords: Passwords) -> None:
    assert passwords.verify("correct horse battery", passwords.hash("correct horse battery"))


def test_other_password_does_not_fit(passwords: Passwords) -> None:
    assert not passwords.verify("Correct horse battery", passwords.hash("correct horse battery"))


def test_hash_is_argon2id_with_a_salt_of_its_own(passwords: Passwords) -> None:
    first, second = passwords.hash("correct horse"), passwords.hash("correct horse")

    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_same_letters_from_another_keyboard_fit(passwords: Passwords) -> None:
    composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"

    assert passwords.verify(decomposed, passwords.hash(composed))


@pytest.mark.parametrize("stored", [None, "", "plain text", "$2b$12$abcdefghijklmnopqrstuv"])
def test_nothing_fits_where_no_password_of_ours_is_stored(
    passwords: Passwords, stored: str | None
) -> None:
    assert not passwords.verify("", stored)


def test_unknown_user_takes_as_much_work_as_a_wrong_password(passwords: Passwords) -> None:
    stored = passwords.hash("correct horse battery")

    def work_s(stored: str | None) -> float:
        """Measure the thread's own time, which does not depend on who else is at work."""
        took = []
        for _ in range(5):
            began = time.thread_time()
            passwords.verify("guess", stored)
            took.append(time.thread_time() - began)
        return min(took)

    assert 0.5 < work_s(None) / work_s(stored) < 2
