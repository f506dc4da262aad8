"""A request and its replay side by side."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from appliance.cli.replay_view import compare, render
from appliance.domain.request import ChatMessage, ChatRequest, Effort, Origin
from appliance.domain.trace import Decision, Outcome, Trace
from tests.fakes.traces import repaired_trace

REQUEST = ChatRequest("auto", (ChatMessage("user", "What is …?"),))
ORIGINAL = replace(repaired_trace("a" * 8), request=REQUEST)
CALL = ORIGINAL.calls[-1]
DIRECT = replace(
    ORIGINAL,
    trace_id="b" * 8,
    decision=Decision("direct", ("the caller chose it",)),
    request=replace(REQUEST, effort=Effort.LOW),
    origin=Origin(replay_of="a" * 8),
    tasks=(),
    verdicts=(),
    fallbacks=(),
    calls=(replace(CALL, model_id="big", gpu_s=0.12),),
    usage=CALL.usage,
    duration_s=0.31,
    answer="[b]QEXAR[/b]",
)

SIDE_BY_SIDE = """\
             original                                             replay
trace        aaaaaaaa                                             bbbbbbbb
strategy     plan_execute_verify                                  direct
because      4 cues, at least 3 wanted                            the caller chose it
effort       medium                                               low
models       planner: starter-planner                             generalist: big
             executor: starter-math, starter-text
             verifier: starter-verifier
             generalist: starter-generalist
outcome      ok                                                   ok
answer       RAXEQ                                                [b]QEXAR[/b]
graph        s1 math  12*7 → 84
             s2 text ← s1  reverse [red]QEXAR[/red] → RAXEQ
verdicts     2 pass, 1 fail
fallbacks    synthesizer: took the last result
calls        8                                                    1 (-88%)
tokens       400                                                  50 (-88%)
seconds      0.93                                                 0.31 (-67%)
GPU seconds  0.480                                                0.120 (-75%)
differs: strategy, effort, models, answer, graph, verdicts, fallbacks
"""


def shown(original: Trace, replay: Trace, width: int = 120) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(original, replay))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def test_side_by_side() -> None:
    lines = [" ".join(line.split()) for line in shown(ORIGINAL, DIRECT).splitlines()]
    assert lines == [" ".join(line.split()) for line in SIDE_BY_SIDE.splitlines()]


def test_narrow_terminals_wrap_and_lose_nothing() -> None:
    narrow = shown(ORIGINAL, DIRECT, 60)
    assert max(len(line) for line in narrow.splitlines()) <= 60
    assert "0.120 (-75%)" in narrow


def test_the_same_again_says_so_though_times_differ() -> None:
    again = replace(ORIGINAL, trace_id="c" * 8, duration_s=1.0)
    assert shown(ORIGINAL, again).endswith("the same choice, the same graph, the same answer\n")
    assert not any(line.differs for line in compare(ORIGINAL, again))


def test_another_end_differs() -> None:
    failed = replace(ORIGINAL, outcome=Outcome.ERROR, error="no engine is ready", answer=None)
    assert [line.name for line in compare(ORIGINAL, failed) if line.differs] == ["outcome", "answer"]
