"""A trace as a tree for the terminal: what was decided, planned, done, judged and spent. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from rich.tree import Tree

from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import CallRecord, Outcome, TaskRecord, Trace, Verdict, VerdictRecord

_ROLE_STYLES = {
    Role.PLANNER: "magenta",
    Role.EXECUTOR: "cyan",
    Role.VERIFIER: "yellow",
    Role.SYNTHESIZER: "blue",
    Role.GENERALIST: "blue",
}
_OUTCOME_STYLES = {Outcome.OK: "green", Outcome.ERROR: "red", Outcome.CANCELLED: "yellow", Outcome.SKIPPED: "dim"}
_VERDICT_MARKS = {Verdict.PASS: ("✓", "green"), Verdict.FAIL: ("✗", "red"), Verdict.UNSURE: ("?", "yellow")}
_SHOWN_CHARS = 72


def render(trace: Trace) -> Tree:
    """The whole tree of one request."""
    tree = Tree(_headline(trace), guide_style="dim")
    tree.add(Text.assemble(("because ", "dim"), "; ".join(trace.decision.reasons) or "no reason given"))
    before, after = _calls_outside_tasks(trace)
    plans = [call for call in before if call.role is Role.PLANNER and call.outcome is Outcome.OK]
    for call in before:
        tree.add(_planning_line(call, trace) if call in plans[-1:] else _call_line(call))
    for task in trace.tasks:
        _add_task(tree, task, trace)
    for call in after:
        tree.add(_call_line(call))
    for fallback in trace.fallbacks:
        text = f"{fallback.role.value}: {fallback.reason} → {fallback.action}"
        tree.add(Text.assemble(("fallback ", "bold yellow"), text))
    _add_totals(tree, trace)
    return tree


def _headline(trace: Trace) -> Text:
    headline = Text.assemble(
        (trace.requested_model, "bold"),
        " → ",
        (trace.decision.strategy, "bold"),
        "  ",
        _outcome(trace.outcome),
        f"  {trace.duration_s:.2f} s",
        (f"  trace {trace.trace_id}", "dim"),
    )
    if trace.error:
        headline.append(f"\n{trace.error}", "red")
    if trace.question is not None:
        headline.append(f"\n{_shortened(trace.question, 3 * _SHOWN_CHARS)}", "italic")
    if trace.answer is not None:
        headline.append(f"\n→ {_shortened(trace.answer, 3 * _SHOWN_CHARS)}", "bold green")
    return headline


def _calls_outside_tasks(trace: Trace) -> tuple[list[CallRecord], list[CallRecord]]:
    """Calls of no task, parted by the moment when the first task began."""
    tasks = {task.task_id for task in trace.tasks}
    begun_s = min((call.started_s for call in trace.calls if call.task_id in tasks), default=float("inf"))
    outside = sorted((call for call in trace.calls if call.task_id not in tasks), key=lambda call: call.started_s)
    before = [call for call in outside if call.started_s < begun_s or call.role is Role.PLANNER]
    return before, [call for call in outside if call not in before]


def _planning_line(call: CallRecord, trace: Trace) -> Text:
    """The last planner call, with all that was planned: the tasks of another plan carry its number."""
    line = _call_line(call)
    if trace.tasks:
        plan = ", ".join(f"{task.task_id}({','.join(task.needs)})" for task in trace.tasks)
        line.append(f"\nplan: {plan}", "dim")
    return line


def _add_task(tree: Tree, task: TaskRecord, trace: Trace) -> None:
    line = Text.assemble((task.task_id, "bold"), " ", (task.skill, "cyan"))
    if task.instruction is not None:
        line.append(f"  {_shortened(task.instruction)}", "italic")
    if task.result is not None:
        line.append(f" → {_shortened(task.result)}", "bold")
    if task.needs:
        line.append(f"  needs {', '.join(task.needs)}", "dim")
    line.append("  ")
    line.append_text(_outcome(task.outcome))
    if task.attempts > 1:
        accepted = "none" if task.accepted_attempt is None else str(task.accepted_attempt)
        line.append(f"  {task.attempts} attempts, took {accepted}", "yellow")
    branch = tree.add(line)
    calls = sorted((call for call in trace.calls if call.task_id == task.task_id), key=lambda call: call.started_s)
    verdicts = [verdict for verdict in trace.verdicts if verdict.task_id == task.task_id]
    for call in calls:
        if call.role is not Role.VERIFIER:
            _add_attempt(branch, call, calls, [v for v in verdicts if v.attempt == call.attempt])


def _add_attempt(branch: Tree, call: CallRecord, calls: list[CallRecord], verdicts: list[VerdictRecord]) -> None:
    line = _call_line(call)
    for verdict in verdicts:
        mark, style = _VERDICT_MARKS[verdict.verdict]
        line.append(f"  {mark} {verdict.probability:.2f}", style)
        line.append(f" (≥ {verdict.threshold:.2f}, {verdict.rule})", "dim")
    attempt = branch.add(line)
    for check in calls:
        if check.role is Role.VERIFIER and check.attempt == call.attempt:
            attempt.add(_call_line(check))


def _call_line(call: CallRecord) -> Text:
    line = Text.assemble(
        (call.role.value, _ROLE_STYLES[call.role]),
        f" {call.model_id}",
        (f" #{call.attempt}" if call.attempt > 1 else "", "yellow"),
        (f"  {call.usage.prompt_tokens}+{call.usage.completion_tokens} tokens", "dim"),
        (f"  {1000 * call.engine_s:.0f} ms", "dim"),
    )
    if call.queue_s >= 0.01:
        line.append(f" (+{1000 * call.queue_s:.0f} ms in line)", "dim")
    line.append(f"  {call.gpu_s:.3f} GPU s", "dim")
    if call.outcome is not Outcome.OK:
        line.append("  ")
        line.append_text(_outcome(call.outcome))
    if call.error:
        line.append(f" {call.error}", "red")
    return line


def _add_totals(tree: Tree, trace: Trace) -> None:
    engine_s = sum(call.engine_s for call in trace.calls)
    gpu_s = sum(call.gpu_s for call in trace.calls)
    usage, budget = trace.usage, trace.budget
    total = tree.add(
        Text.assemble(
            ("total ", "bold"),
            f"{len(trace.calls)} calls · {usage.total_tokens} tokens ({_in_and_out(usage)}) · "
            f"{trace.duration_s:.2f} s · {engine_s:.2f} engine seconds · {gpu_s:.3f} GPU seconds",
        )
    )
    by_role = ", ".join(f"{role.value} {_sum(calls).total_tokens}" for role, calls in _by_role(trace.calls))
    if by_role:
        total.add(Text(f"tokens by role: {by_role}", "dim"))
    used = (
        f"budget: {budget.used_calls}/{budget.limit_calls} calls, {budget.used_tokens}/{budget.limit_tokens} tokens, "
        f"{budget.used_wall_s:.1f}/{budget.limit_wall_s:.0f} s"
    )
    if budget.limit_gpu_s is not None:
        used += f", {budget.used_gpu_s:.2f}/{budget.limit_gpu_s:g} GPU s"
    line = Text(used, "dim")
    if budget.stopped_by is not None:
        line.append(f"  stopped by {budget.stopped_by}", "red")
    total.add(line)


def _by_role(calls: Iterable[CallRecord]) -> list[tuple[Role, list[CallRecord]]]:
    kept = list(calls)
    grouped = ((role, [call for call in kept if call.role is role]) for role in Role)
    return [(role, group) for role, group in grouped if group]


def _sum(calls: Iterable[CallRecord]) -> Usage:
    return sum((call.usage for call in calls), start=Usage())


def _in_and_out(usage: Usage) -> str:
    cached = f", {usage.cached_tokens} cached" if usage.cached_tokens else ""
    return f"{usage.prompt_tokens} in, {usage.completion_tokens} out{cached}"


def _outcome(outcome: Outcome) -> Text:
    return Text(outcome.value, _OUTCOME_STYLES[outcome])


def _shortened(text: str, limit: int = _SHOWN_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
