"""Programs of a model's making are run, and can neither reach out, run on, nor pass by leaving early."""

from __future__ import annotations

import pytest

from appliance.evaluation.grading.graders import UnitTests
from appliance.evaluation.grading.sandbox import code_of, graded

GRADER = UnitTests(type="unit_tests", timeout_s=5, memory_bytes=2**28)
TESTS = "assert add(2, 3) == 5"


def test_a_right_program_in_a_fenced_block_passes() -> None:
    assert graded(GRADER, "Here:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.", TESTS).score == 1


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def add(a, b): return a - b", "AssertionError"),
        ("this is no program", "SyntaxError"),
        ("import sys; sys.exit(0)", "ended with code 0"),
        ("import os; os._exit(0)", "ended with code 0"),
        ("print('\\n' * 3); raise SystemExit", "ended with code 0"),
        ("def add(a, b): return bytearray(2**30) and 5", "MemoryError"),
    ],
)
def test_wrong_ones_fail_with_the_reason(program: str, reason: str) -> None:
    grade = graded(GRADER, program, TESTS)
    assert grade.score == 0
    assert reason in grade.reason


def test_an_endless_program_is_ended() -> None:
    quick = GRADER.model_copy(update={"timeout_s": 0.5})
    assert "not done within 0.5 s" in graded(quick, "while True: pass", TESTS).reason


def test_there_is_no_network() -> None:
    program = "import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=1)"
    assert "Network is unreachable" in graded(GRADER, program, TESTS).reason


def test_no_secret_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_API_KEY", "sk-planted")
    program = "import os\nassert 'APPLIANCE_API_KEY' not in os.environ\ndef add(a, b): return a + b"
    assert graded(GRADER, program, TESTS).score == 1


def test_the_last_block_counts() -> None:
    assert code_of("```\na\n```\n```py\nb\n```") == "b\n"
