"""Runs a program of a model's making with a task's tests: without network, bounded in time, memory and files."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from appliance.errors import ConfigError
from appliance.evaluation.grading.grade import Grade
from appliance.evaluation.grading.graders import UnitTests

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
_FILE_BYTES: Final = 10_000_000
_PROCESSES: Final = 64
_SHOWN_CHARS: Final = 300

_HARNESS: Final = """
import sys
token = sys.stdin.readline().strip()
said, program, tests = sys.stdout, open("program.py").read(), open("tests.py").read()
names = {"__name__": "answer"}
exec(compile(program, "program.py", "exec"), names)
exec(compile(tests, "tests.py", "exec"), names)
print("\\n" + token, file=said, flush=True)
"""
"""The token is read before the program runs and said after the tests: a program that only exits does not pass."""


def graded(grader: UnitTests, answer: str, tests: str) -> Grade:
    """1 where the tests end without an error, 0 with the last line of what went wrong otherwise.

    Raises ConfigError where this machine can't cut a process off from the network.
    """
    program = code_of(grader.part(answer))
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="appliance-tests-") as directory:
        for name, text in (("program.py", program), ("tests.py", tests), ("harness.py", _HARNESS)):
            (Path(directory) / name).write_text(text, encoding="utf-8")
        passed, reason = _run(_command(grader), directory, token, grader.timeout_s)
    return Grade(float(passed), program, reason)


def code_of(answer: str) -> str:
    """The last fenced block of an answer, or all of it."""
    blocks = _FENCED.findall(answer)
    return str(blocks[-1]) if blocks else answer


def _command(grader: UnitTests) -> list[str]:
    """`prlimit` for the bounds, `unshare` for a network without any interface; both come with util-linux."""
    for tool in ("prlimit", "unshare"):
        if shutil.which(tool) is None:
            raise ConfigError(f"grader unit_tests: {tool} is not on this machine (package util-linux); install it")
    seconds = int(grader.timeout_s) + 1
    limits = [f"--cpu={seconds}", f"--as={grader.memory_bytes}", f"--fsize={_FILE_BYTES}", f"--nproc={_PROCESSES}"]
    python = [sys.executable, "-I", "-S", "harness.py"]
    return ["unshare", "--user", "--map-current-user", "--net", "prlimit", *limits, *python]


def _run(command: list[str], directory: str, token: str, timeout_s: float) -> tuple[bool, str]:
    process = subprocess.Popen(
        command,
        cwd=directory,
        env={"PATH": os.defpath, "HOME": directory},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(f"{token}\n".encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return False, f"not done within {timeout_s:g} s"
    finally:
        _end(process)
    if process.returncode == 0 and said.rstrip().endswith(token.encode()):
        return True, ""
    lines = complained.decode(errors="replace").strip().splitlines()
    last = lines[-1][:_SHOWN_CHARS] if lines else f"ended with code {process.returncode} before the tests did"
    if last.startswith("unshare:"):
        raise ConfigError(
            f"grader unit_tests: programs can't be cut off from the network here ({last}); run as a user "
            "who may make user namespaces"
        )
    return False, last


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
