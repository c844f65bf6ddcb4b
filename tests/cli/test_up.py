import os
import signal
import sys
import time
from collections.abc import Callable

from tests.cli.fakes import FakeRun, is_running
from tests.support.processes import eventually

Start = Callable[..., FakeRun]
LEADER_OF_THE_SESSION = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, lambda *_: None)
subprocess.run(sys.argv[1:])
"""
STORE, JOB, OUTSIDE, WORK = "store:STORE:", "job:WORK:job", "outside:OUTSIDE:", "work:WORK:"


def test_run_file_tells_addresses_and_processes_when_all_is_ready(fake_run: Start) -> None:
    run = fake_run(STORE, JOB, WORK)

    services = run.wait_ready()

    assert services["store"]["url"] == "http://store.example"
    assert is_running(services["store"]["pid"])
    assert is_running(services["work"]["pid"])
    assert "pid" not in services["api"]


def test_ctrl_c_stops_users_before_what_they_use_by_sigterm_alone(fake_run: Start) -> None:
    run = fake_run(STORE, OUTSIDE, WORK)
    run.wait_ready()

    os.killpg(run.process.pid, signal.SIGINT)

    code, said = run.end()
    assert code == 0, said
    assert run.stops() == ["work SIGTERM", "outside SIGTERM", "store SIGTERM"]
    assert not (run.folder / "run.json").exists()


def test_killed_program_is_started_again_and_told(fake_run: Start) -> None:
    run = fake_run(STORE, WORK)
    before = run.wait_ready()["work"]["pid"]

    os.kill(before, signal.SIGKILL)

    eventually(lambda: run.told()["ready"] and run.pid("work") not in (0, before))
    run.process.terminate()
    said = run.end()[1]
    assert "work ended: SIGKILL; starting again in 0.5 s" in said
    assert "work | work begins" in said


def test_what_a_killed_program_leaves_behind_is_killed(fake_run: Start) -> None:
    run = fake_run("work:WORK:parent")
    pid = run.wait_ready()["work"]["pid"]
    left = int((run.folder / "work-child.pid").read_text())

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: not is_running(left))


def test_program_without_sign_of_life_is_started_again(fake_run: Start) -> None:
    run = fake_run("work:WORK:hangs")
    before = run.wait_ready()["work"]["pid"]

    eventually(lambda: run.pid("work") not in (0, before))

    run.process.terminate()
    assert "work gave no sign of life any more: killed" in run.end()[1]


def test_long_log_is_put_away_while_the_program_runs(fake_run: Start) -> None:
    run = fake_run("work:WORK:noisy")

    pid = run.wait_ready()["work"]["pid"]

    log = run.folder / "logs" / "work.log"
    eventually(log.with_name("work.log.1").exists)
    eventually(lambda: log.stat().st_size < 5_000_000)
    assert run.pid("work") == pid


def test_program_deaf_to_sigterm_is_killed_after_eight_seconds(fake_run: Start) -> None:
    run = fake_run(STORE, "work:WORK:deaf")
    run.wait_ready()
    began = time.monotonic()

    run.process.terminate()

    assert run.end()[0] == 0
    assert 8 <= time.monotonic() - began < 30
    assert run.stops() == ["work SIGTERM", "store SIGTERM"]


def test_second_ctrl_c_stops_at_once(fake_run: Start) -> None:
    run = fake_run(STORE, "work:WORK:deaf")
    run.wait_ready()
    run.process.send_signal(signal.SIGINT)
    eventually(run.stops)
    began = time.monotonic()

    run.process.send_signal(signal.SIGINT)

    assert run.end()[0] == 0
    assert time.monotonic() - began < 7  # well before the deaf one is killed


def test_sigterm_twice_is_no_reason_to_hurry(fake_run: Start) -> None:
    run = fake_run(STORE, WORK)
    run.wait_ready()

    os.killpg(run.process.pid, signal.SIGTERM)
    run.process.terminate()

    assert run.end()[0] == 0
    assert run.stops() == ["work SIGTERM", "store SIGTERM"]


def test_nothing_is_left_after_the_supervisor_is_killed(fake_run: Start) -> None:
    run = fake_run(STORE, "work:WORK:parent")
    services = run.wait_ready()
    grandchild = int((run.folder / "work-child.pid").read_text())

    run.process.kill()

    left = [services["store"]["pid"], services["work"]["pid"], grandchild]
    eventually(lambda: not any(map(is_running, left)))


def test_nothing_is_left_after_the_parent_is_killed(fake_run: Start) -> None:
    parent = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
    run = fake_run(STORE, "work:WORK:deaf", parent=parent)
    services = run.wait_ready()

    run.process.kill()

    left = [services["store"]["pid"], services["work"]["pid"]]
    eventually(lambda: not any(map(is_running, left)))
    eventually(lambda: not (run.folder / "run.json").exists())


def test_closed_terminal_stops_the_run_though_nobody_passes_the_signal_on(fake_run: Start) -> None:
    terminal = (sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])")
    run = fake_run(STORE, WORK, parent=(*terminal, sys.executable, "-c", LEADER_OF_THE_SESSION))
    run.wait_ready()

    run.process.kill()

    eventually(lambda: run.stops() == ["work SIGTERM", "store SIGTERM"])


def test_program_that_never_comes_up_ends_the_run_with_its_last_words(fake_run: Start) -> None:
    run = fake_run(STORE, "work:WORK:fails")

    code, said = run.end()

    assert code == 1
    assert "work | the reason why it fails" in said
    assert said.splitlines()[-1].startswith("work could not be started: it ended with exit code 1")
    assert run.stops() == ["store SIGTERM"]


def test_failed_job_ends_the_run_at_once(fake_run: Start) -> None:
    run = fake_run("job:WORK:job,fails", WORK)

    code, said = run.end()

    assert code == 1
    assert said.splitlines()[-1] == "the reason why it fails"
    assert said.count("the reason why it fails") == 1
