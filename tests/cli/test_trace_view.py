"""Traces as they look in the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from appliance.cli.trace_view import render
from appliance.domain.forecast import Reduction
from appliance.domain.model import Role
from appliance.domain.request import Origin
from appliance.domain.trace import Outcome, TaskRecord, Trace, Verdict
from tests.fakes.traces import call_record, repaired_trace, verdict

ON_80_COLUMNS = """\
auto → plan_execute_verify  ok  0.93 s  trace 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
What is …?
→ RAXEQ
because 4 cues, at least 3 wanted
░ in line ▒ first token █ answering              tokens      s  0 s       0.94 s
├─ planner starter-planner                        40+10   0.14  ▒█
│     plan: s1(), s2(s1)
├─ s1 math  12*7 → 84                                     0.24     ────
│  └─ executor starter-math  ✓ 0.98               40+10   0.14     ░██
│     └─ verifier starter-verifier                40+10   0.14       ▒█
├─ s2 text  2 attempts, took 2  needs s1                  0.44         ───────
│  │  reverse [red]QEXAR[/red] → RAXEQ
│  ├─ executor starter-text  ✗ 0.11               40+10   0.14         ▒█
│  │  └─ verifier starter-verifier                40+10   0.14           ██
│  └─ executor starter-text #2  ✓ 0.91            40+10   0.14            ░██
│     └─ verifier starter-verifier #2             40+10   0.14              ▒█
└─ generalist starter-generalist                  40+10   0.14                ██
fallback synthesizer: no engine is ready → took the last result
total 8 calls · 400 tokens (320 in, 80 out) · 0.93 s · 0.96 engine seconds ·
0.480 GPU seconds
  tokens by role: planner 50, executor 150, verifier 150, generalist 50
  verdicts: 2 pass, 1 fail; not calibrated: starter-verifier
  budget: 8/48 calls, 400/12000 tokens, 0.9/60 s
"""

WORK_ON_120_COLUMNS = """\
░ in line ▒ first token █ answering                          tokens      s   GPU s  0 s                           0.94 s
├─ planner starter-planner  plan: s1(), s2(s1)                40+10   0.14   0.060  ░▒███
├─ s1 math  12*7 → 84                                                 0.24                  ─────────
│  └─ executor starter-math  ✓ 0.98                           40+10   0.14   0.060          ▒▒███
│     └─ verifier starter-verifier                            40+10   0.14   0.060             ░▒████
├─ s2 text  2 attempts, took 2  needs s1                              0.44                         ─────────────────
│  │  reverse [red]QEXAR[/red] → RAXEQ
│  ├─ executor starter-text  ✗ 0.11                           40+10   0.14   0.060                 ░▒████
│  │  └─ verifier starter-verifier                            40+10   0.14   0.060                     ░▒████
│  └─ executor starter-text #2  ✓ 0.91                        40+10   0.14   0.060                         ░▒███
│     └─ verifier starter-verifier #2                         40+10   0.14   0.060                             ░▒███
└─ generalist starter-generalist                              40+10   0.14   0.060                                 ▒▒███
"""


def shown(trace: Trace, width: int = 160, *, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    Console(width=width, color_system=None, file=file).print(render(trace))
    file.seek(0)
    return "".join(f"{line.rstrip()}\n" for line in file)


def test_on_80_columns() -> None:
    assert shown(repaired_trace(), 80) == ON_80_COLUMNS


def test_wider_terminals_have_gpu_seconds_and_longer_bars() -> None:
    assert WORK_ON_120_COLUMNS in shown(repaired_trace(), 120)


def test_the_widest_have_everything_on_its_own_line() -> None:
    wide = shown(repaired_trace(), 160)
    assert "├─ s2 text  2 attempts, took 2  needs s1  reverse [red]QEXAR[/red] → RAXEQ  " in wide
    assert "executor starter-text  ✗ 0.11  (≥ 0.50, last_token, uncalibrated)  " in wide


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 99, 100, 250])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    assert max(len(line) for line in shown(repaired_trace(), width).splitlines()) <= width


def test_narrow_terminals_have_no_bars() -> None:
    narrow = shown(repaired_trace(), 40)
    assert "├─ planner starter-planner          0.14\n" in narrow
    assert "█" not in narrow


def test_a_terminal_that_knows_ascii_only_gets_it() -> None:
    plain = shown(replace(repaired_trace(), question="weiß?"), 80, encoding="ascii")
    assert plain.isascii()
    assert "|  `- executor starter-math  + 0.98               40+10   0.14     .##\n" in plain
    assert "\nwei??\n" in plain


def test_without_content_and_without_calls() -> None:
    bare = replace(repaired_trace(), question=None, answer=None, tasks=(), calls=(), verdicts=(), fallbacks=())
    assert shown(bare) == (
        "auto → plan_execute_verify  ok  0.93 s  trace 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\n"
        "because 4 cues, at least 3 wanted\n"
        "total 0 calls · 400 tokens (320 in, 80 out) · 0.93 s · 0.00 engine seconds · 0.000 GPU seconds\n"
        "  budget: 8/48 calls, 400/12000 tokens, 0.9/60 s\n"
    )


def test_a_failed_request_says_why() -> None:
    failed = replace(repaired_trace(), outcome=Outcome.ERROR, error="engine gone", origin=Origin(replay_of="abc"))
    assert shown(failed).startswith(
        f"auto → plan_execute_verify  error  0.93 s  trace {'0f' * 16}  replay of abc\nengine gone\n"
    )


def test_a_nested_plan_stands_below_its_task_and_another_plan_beside_it() -> None:
    outer = TaskRecord("s1", "math", (), Outcome.OK, 1, 1)
    never = TaskRecord("s2", "math", ("s1",), Outcome.SKIPPED, 0, None)
    calls = (
        call_record("c1", "plan", Role.PLANNER, "planner", 0.0),
        call_record("c2", "s1.plan", Role.PLANNER, "planner", 0.2),
        call_record("c3", "s1.s1", Role.EXECUTOR, "math", 0.4),
        call_record("c4", "2.s1", Role.EXECUTOR, "math", 0.6),
    )
    inner, other = replace(outer, task_id="s1.s1"), replace(outer, task_id="2.s1")
    nested = replace(repaired_trace(), tasks=(outer, never, other, inner), calls=calls, verdicts=(), fallbacks=())
    work = [line[:60].rstrip() for line in shown(nested, 120).splitlines()[5:14]]
    assert work == [
        "├─ planner planner  plan: s1(), s2(s1), 2.s1()",
        "├─ s1 math",
        "│  ├─ planner planner  plan: s1.s1()",
        "│  └─ s1.s1 math",
        "│     └─ executor math",
        "├─ 2.s1 math",
        "│  └─ executor math",
        "└─ s2 math  skipped  needs s1",
        "total 4 calls · 400 tokens (320 in, 80 out) · 0.93 s · 0.48",
    ]


def test_calls_that_failed_waited_or_judged_without_a_task() -> None:
    call = call_record("c1", "answer", Role.GENERALIST, "big", 0.0)
    waited = replace(call, queue_s=0.9, engine_s=0.0, first_token_s=None, outcome=Outcome.CANCELLED, gpu_s=0.0)
    failed = replace(
        call, started_s=0.1, first_token_s=None, outcome=Outcome.ERROR, error="the engine is gone", attempt=2
    )
    guessed = replace(call, started_s=0.5, engine_s=0.4, first_token_s=0.2, usage_estimated=True, attempt=3)
    judged = replace(verdict("answer", 3, Verdict.FAIL, 0.2), reason="a unit is missing", self_judged=True)
    trace = replace(repaired_trace(), tasks=(), calls=(waited, failed, guessed), verdicts=(judged,), fallbacks=())
    work = shown(trace, 80).splitlines()[5:10]
    assert work == [
        "├─ generalist big  cancelled                      40+10   0.90  ░░░░░░░░░░░░░░░",
        "├─ generalist big #2  error                       40+10   0.14    ▒▒",
        "│     the engine is gone",
        "└─ generalist big #3  ✗ 0.20                     ~40+10   0.42           ▒▒▒████",
        "      fail: a unit is missing",
    ]
    assert "(≥ 0.50, last_token, uncalibrated, self-judged)" in shown(trace, 200)


def test_a_smaller_plan_is_told_with_its_reason() -> None:
    left = Reduction("no verification", "about 5 calls are needed, the request has 4")
    assert "smaller plan no verification: about 5 calls are needed" in shown(replace(repaired_trace(), reduced=(left,)))
