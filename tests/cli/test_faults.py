import fcntl
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forks import Forks
from tests.support.processes import ROOT, free_port

Tried = Callable[..., tuple[int, str]]


@pytest.fixture
def try_start(forks: Forks, tmp_path: Path) -> Tried:
    """Call `tradepost up` with some settings, where it must refuse; give exit code and words."""

    def call(**settings: str) -> tuple[int, str]:
        ports = {"API_PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        done = forks.run("cli", "up", env={**ports, **settings}, cwd=tmp_path)
        assert done.stdout == ""
        return done.returncode, done.stderr

    return call


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def assert_one_sentence(said: str, *, naming: str) -> None:
    assert said.count("\n") == 1
    assert said.endswith(".\n")
    assert naming in said


def test_wrong_setting_is_named(try_start: Tried) -> None:
    code, said = try_start(FEE_RATE="plenty")

    assert code == 2
    assert_one_sentence(said, naming="FEE_RATE")


def test_placeholder_of_the_example_is_named(try_start: Tried) -> None:
    code, said = try_start(MYSQL_PASSWORD="yourpassword")

    assert code == 2
    assert_one_sentence(said, naming="MYSQL_PASSWORD")


def test_open_access_is_refused_to_the_network(try_start: Tried) -> None:
    code, said = try_start(API_HOST="::")

    assert code == 2
    assert_one_sentence(said, naming="AUTH_MODE=required")


def test_one_port_for_two_servers_is_refused(try_start: Tried) -> None:
    code, said = try_start(API_PORT="8123", FLOWER_PORT="8123")

    assert code == 2
    assert_one_sentence(said, naming="8123")


@pytest.mark.parametrize("setting", ["API_PORT", "FLOWER_PORT"])
def test_taken_port_is_named_with_its_setting(
    setting: str, taken_port: int, try_start: Tried
) -> None:
    code, said = try_start(**{setting: str(taken_port)})

    assert code == 1
    assert_one_sentence(said, naming=f"Port {taken_port}")
    assert setting in said


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "{port}"}, "MYSQL_HOST"),
        ({"DATABASE_URL": "mysql://me:s3cret@127.0.0.1:{port}/shop"}, "DATABASE_URL"),
        ({"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "{port}"}, "REDIS_HOST"),
        ({"BROKER_URL": "redis://:s3cret@127.0.0.1:{port}/0"}, "BROKER_URL"),
        ({"STREAMS_URL": "redis://:s3cret@127.0.0.1:{port}/0"}, "STREAMS_URL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unreachable_server_is_named_without_its_password(
    settings: dict[str, str], named: str, try_start: Tried
) -> None:
    port = free_port()

    code, said = try_start(**{name: value.format(port=port) for name, value in settings.items()})

    assert code == 1
    assert_one_sentence(said, naming=f"127.0.0.1:{port}")
    assert named in said
    assert "s3cret" not in said


def test_stripe_without_its_key_is_named(try_start: Tried) -> None:
    code, said = try_start(PAYMENT_GATEWAY="stripe")

    assert code == 2
    assert_one_sentence(said, naming="STRIPE_API_KEY")


def test_url_without_a_readable_port_is_a_wrong_setting(try_start: Tried) -> None:
    code, said = try_start(BROKER_URL="redis://127.0.0.1:port/0")

    assert code == 2
    assert_one_sentence(said, naming="BROKER_URL")


def test_data_folder_of_another_run_is_refused(tmp_path: Path, try_start: Tried) -> None:
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4242")
        lock.flush()

        code, said = try_start(DATA_DIR=str(tmp_path))

    assert code == 1
    assert_one_sentence(said, naming="process 4242")
    assert "DATA_DIR" in said


def test_data_folder_that_cannot_be_made_is_named(tmp_path: Path, try_start: Tried) -> None:
    file = tmp_path / "file"
    file.touch()

    code, said = try_start(DATA_DIR=str(file / "var"))

    assert code == 1
    assert_one_sentence(said, naming=f"DATA_DIR {file}/var")


def test_missing_module_of_the_command_line_is_named() -> None:
    without_typer = "import sys; sys.modules['typer'] = None; import cli.__main__ as c; c.main()"

    done = subprocess.run(
        [sys.executable, "-c", without_typer],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert_one_sentence(done.stderr, naming="The Python module typer is not installed")
