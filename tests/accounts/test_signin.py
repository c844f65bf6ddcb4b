from datetime import UTC, datetime, timedelta

import pytest

from accounts import families, signin, tokens, users
from accounts.attempts import FAILURES_OF_STRANGERS, Attempts, TooManyAttempts
from accounts.callers import Caller, identify
from accounts.families import BadRefreshToken, Issued
from accounts.passwords import Passwords
from accounts.signin import BadCredentials, Gate, WrongPassword
from accounts.tables import Role
from accounts.tokens import BadToken, Signing, TokenExpired, TokenRevoked
from accounts.users import Changes
from infra.db import Database, transact
from infra.redis import RedisDown
from infra.sharing.limiter import Limiter
from tests.support.valkey import Valkey

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSWORD = "correct horse"
SIGNING = Signing(secret="a-signing-key-of-forty-characters-or-so!")
PASSWORDS = Passwords()
HASHED = PASSWORDS.hash(PASSWORD)


@pytest.fixture
def gate(attempts: Attempts) -> Gate:
    return Gate(PASSWORDS, SIGNING, attempts)


@pytest.fixture
def patient_gate(valkey: Valkey) -> Gate:
    """A gate that lets an address try as often as it likes."""
    limiter = Limiter(valkey.url(), connect_timeout_s=30, timeout_s=30)
    return Gate(PASSWORDS, SIGNING, Attempts(limiter, per_address_per_minute=10_000))


@pytest.fixture
def ada(sqlite_database: Database) -> int:
    return transact(
        sqlite_database.sessions,
        lambda session: users.register(
            session, email="ada@example.com", name="Ada", password_hash=HASHED
        ),
    ).id


def sign_in(
    database: Database,
    gate: Gate,
    email: str = "ada@example.com",
    password: str = PASSWORD,
    address: str = "192.0.2.1",
) -> Issued:
    return signin.sign_in(database, gate, email=email, password=password, address=address, now=NOON)


def identified(database: Database, issued: Issued) -> Caller:
    with database.reads() as session:
        return identify(session, SIGNING, issued.access_token, now=NOON)


def test_right_password_gives_a_token(sqlite_database: Database, gate: Gate, ada: int) -> None:
    issued = sign_in(sqlite_database, gate, "Ada@example.com")

    assert identified(sqlite_database, issued) == Caller(ada, Role.USER)
    assert issued.access_token not in repr(issued)
    assert issued.refresh_token not in repr(issued)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("ada@example.com", "wrong horse", id="wrong password"),
        pytest.param("bob@example.com", PASSWORD, id="unknown user"),
        pytest.param("", "", id="nothing"),
        pytest.param("\ud800", PASSWORD, id="half a character"),
    ],
)
def test_wrong_credentials_are_told_alike(
    sqlite_database: Database, gate: Gate, ada: int, email: str, password: str
) -> None:
    with pytest.raises(BadCredentials, match=r"^The e-mail address or the password is wrong\.$"):
        sign_in(sqlite_database, gate, email.encode(errors="replace").decode(), password)


def test_nobody_signs_in_as_the_demo_admin(sqlite_database: Database, gate: Gate) -> None:
    transact(sqlite_database.sessions, users.ensure_demo_admin)

    with pytest.raises(BadCredentials):
        sign_in(sqlite_database, gate, "demo@tradepost.local", "")


def test_sign_out_ends_this_sign_in_only(
    sqlite_database: Database, gate: Gate, ada: int, valkey: Valkey
) -> None:
    ended, kept = sign_in(sqlite_database, gate), sign_in(sqlite_database, gate)

    for _ in range(2):
        transact(
            sqlite_database.sessions,
            lambda session: signin.sign_out(session, SIGNING, ended.access_token, now=NOON),
        )
    valkey.flush()

    assert identified(sqlite_database, kept).user_id == ada
    with pytest.raises(TokenRevoked):
        identified(sqlite_database, ended)
    with pytest.raises(BadRefreshToken):
        families.refresh(sqlite_database.sessions, SIGNING, ended.refresh_token, now=NOON)


def test_sign_out_with_an_expired_token_is_refused(
    sqlite_database: Database, gate: Gate, ada: int
) -> None:
    token = sign_in(sqlite_database, gate).access_token
    tomorrow = NOON + timedelta(days=1)

    with pytest.raises(TokenExpired):
        transact(
            sqlite_database.sessions,
            lambda session: signin.sign_out(session, SIGNING, token, now=tomorrow),
        )


def test_new_password_ends_all_other_sign_ins(
    sqlite_database: Database, gate: Gate, ada: int
) -> None:
    mine, others = sign_in(sqlite_database, gate), sign_in(sqlite_database, gate)
    caller = identified(sqlite_database, mine)

    signin.change_password(
        sqlite_database, gate, caller, current=PASSWORD, new="battery staple", address="::1"
    )

    assert identified(sqlite_database, mine) == caller
    with pytest.raises(TokenRevoked):
        identified(sqlite_database, others)
    with pytest.raises(BadCredentials):
        sign_in(sqlite_database, gate)
    sign_in(sqlite_database, gate, password="battery staple")


def test_password_is_not_changed_without_the_present_one(
    sqlite_database: Database, gate: Gate, ada: int
) -> None:
    caller = identified(sqlite_database, sign_in(sqlite_database, gate))

    with pytest.raises(WrongPassword):
        signin.change_password(
            sqlite_database, gate, caller, current="guess", new="battery staple", address="::1"
        )

    sign_in(sqlite_database, gate)


def test_disabled_user_is_out_and_stays_out_when_let_in_again(
    sqlite_database: Database, gate: Gate, ada: int
) -> None:
    issued = sign_in(sqlite_database, gate)

    for change in (Changes(is_disabled=True), Changes(is_disabled=False)):
        with sqlite_database.sessions.begin() as session:
            users.update(session, ada, changes=change)

    with pytest.raises(TokenRevoked):
        identified(sqlite_database, issued)


def fail(database: Database, gate: Gate, times: int, address: str = "192.0.2.1") -> None:
    """Give wrong passwords, from one address or, with braces in it, each from another one."""
    for number in range(times):
        with pytest.raises(BadCredentials):
            sign_in(database, gate, password="guess", address=address.format(number))


def test_ten_wrong_passwords_lock_the_account_for_their_address_only(
    sqlite_database: Database, patient_gate: Gate, ada: int
) -> None:
    fail(sqlite_database, patient_gate, 10)

    with pytest.raises(TooManyAttempts) as locked:
        sign_in(sqlite_database, patient_gate, "ADA@example.com ", address="192.0.2.1")
    sign_in(sqlite_database, patient_gate, address="192.0.2.2")

    assert 0 < locked.value.retry_after_s <= 900


def test_many_strangers_lock_the_account_but_not_for_who_is_known(
    sqlite_database: Database, patient_gate: Gate, ada: int
) -> None:
    sign_in(sqlite_database, patient_gate, address="198.51.100.7")
    for number in range(FAILURES_OF_STRANGERS):
        patient_gate.attempts.count_failure(
            account="ada@example.com", address=f"192.0.2.{number % 50}"
        )

    with pytest.raises(TooManyAttempts):
        sign_in(sqlite_database, patient_gate, address="203.0.113.1")
    fail(sqlite_database, patient_gate, 9, "198.51.100.7")
    sign_in(sqlite_database, patient_gate, address="198.51.100.7")


def test_right_password_forgets_the_wrong_ones(
    sqlite_database: Database, patient_gate: Gate, ada: int
) -> None:
    for _ in range(2):
        fail(sqlite_database, patient_gate, 9)
        sign_in(sqlite_database, patient_gate, address="192.0.2.1")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::{}", "::ffff:192.0.2.1"])
def test_address_that_tries_many_accounts_has_to_wait(
    sqlite_database: Database, gate: Gate, address: str
) -> None:
    for number in range(6):
        with pytest.raises(BadCredentials):
            sign_in(
                sqlite_database, gate, f"user{number}@example.com", address=address.format(number)
            )

    with pytest.raises(TooManyAttempts) as refused:
        sign_in(sqlite_database, gate, "one-more@example.com", address=address.format(7))

    assert 0 < refused.value.retry_after_s <= 60


def test_nobody_signs_in_while_attempts_cannot_be_counted(
    sqlite_database: Database, gate: Gate, ada: int, valkey: Valkey
) -> None:
    caller = identified(sqlite_database, sign_in(sqlite_database, gate))
    valkey.kill()

    with pytest.raises(RedisDown):
        sign_in(sqlite_database, gate)
    with pytest.raises(RedisDown):
        signin.change_password(
            sqlite_database, gate, caller, current=PASSWORD, new="battery staple", address="::1"
        )
    gate.attempts.check_registration(address="192.0.2.1")


def test_registrations_of_an_address_are_counted_apart(attempts: Attempts) -> None:
    for _ in range(6):
        attempts.check_registration(address="192.0.2.1")

    with pytest.raises(TooManyAttempts):
        attempts.check_registration(address="192.0.2.1")
    attempts.check_registration(address="192.0.2.2")
    attempts.check(account="ada@example.com", address="192.0.2.1")


def test_token_of_nobody_is_bad(sqlite_database: Database) -> None:
    token = tokens.sign(SIGNING, user_id=999, family_id="0" * 32, now=NOON)

    with sqlite_database.reads() as session, pytest.raises(BadToken):
        identify(session, SIGNING, token, now=NOON)
