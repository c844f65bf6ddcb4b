from pathlib import Path

from cli.logtail import LogFollower


def test_new_lines_are_given_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("before the start\n")
    follower = LogFollower([("api", log), ("beat", tmp_path / "beat.log")])

    log.write_text("before the start\none\ntwo\nhal")
    first = list(follower.new_lines())
    log.write_text("before the start\none\ntwo\nhalf\n")
    second = list(follower.new_lines())

    assert first == [("api", "one"), ("api", "two")]
    assert second == [("api", "half")]


def test_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("much that was said before\n")
    follower = LogFollower([("api", log)])

    log.write_text("anew\n")

    assert list(follower.new_lines()) == [("api", "anew")]
