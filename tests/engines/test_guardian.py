"""The guardian as a process: the log of a talkative engine stays bounded, and nothing of its end is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance.engines import guardian

LINE = "a line of an engine that runs for months"
LINES = 5 * guardian.ROTATE_AT_BYTES // (len(LINE) + 9)


def ended(log: Path, code: str) -> subprocess.CompletedProcess[bytes]:
    """A guardian whose engine runs `code`, when both are over."""
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-I", "-S", guardian.__file__, str(log), sys.executable, "-c", code]
        return subprocess.run(command, stdin=reading, capture_output=True, timeout=60, start_new_session=True)
    finally:
        os.close(reading)
        os.close(writing)


def test_the_log_of_a_running_engine_is_bounded_and_loses_nothing_at_its_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    done = ended(log, f"for n in range({LINES}): print(f'{{n:08}} {LINE}')")
    assert (done.returncode, done.stderr) == (0, b"")
    newest_last = sorted(tmp_path.iterdir(), key=lambda path: path.name, reverse=True)
    assert [path.name for path in newest_last] == ["a.log.3", "a.log.2", "a.log.1", "a.log"]
    assert max(path.stat().st_size for path in newest_last) < guardian.ROTATE_AT_BYTES + 100_000
    assert all(path.stat().st_mode & 0o077 == 0 for path in newest_last)
    numbers = [int(line[:8]) for line in b"".join(p.read_bytes() for p in newest_last).splitlines()[1:]]
    assert numbers == list(range(numbers[0], LINES))


def test_errors_and_the_exit_code_come_through(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    done = ended(log, "import sys; print('said', flush=True); sys.exit('ValueError: no')")
    assert done.returncode == 1
    assert log.read_text() == "said\nValueError: no\n"


def test_a_log_that_cannot_be_written_does_not_hold_up_the_engine(tmp_path: Path) -> None:
    done = ended(tmp_path / "missing" / "a.log", "print('x' * 1_000_000)")
    assert done.returncode == 0


def test_a_child_that_keeps_the_pipe_does_not_keep_the_guardian(tmp_path: Path) -> None:
    child = "import time; time.sleep(5)"
    done = ended(tmp_path / "a.log", f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])")
    assert done.returncode == 0
