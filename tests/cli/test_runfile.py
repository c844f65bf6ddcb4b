import json
import socket
from pathlib import Path

import pytest

from cli.runfile import FolderInUse, RunFolder


def test_folder_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(FolderInUse), RunFolder(tmp_path):
        pass

    with RunFolder(tmp_path):
        pass


def test_run_file_of_a_killed_run_is_removed_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")

    with RunFolder(tmp_path):
        assert not (tmp_path / "run.json").exists()


def test_run_file_lives_as_long_as_the_run(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.tell(ready=True, services={"api": {"url": "http://127.0.0.1:1", "pid": 7}})

        told = json.loads((tmp_path / "run.json").read_text())

    assert told == {"ready": True, "services": {"api": {"url": "http://127.0.0.1:1", "pid": 7}}}
    assert not (tmp_path / "run.json").exists()


def test_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        first = folder.kept_port("port")
        again = folder.kept_port("port")
        with socket.create_server(("127.0.0.1", first)):
            other = folder.kept_port("port")
        (tmp_path / "port").write_text("0")
        nonsense = folder.kept_port("port")

    assert first == again
    assert first != other
    assert nonsense > 1024
