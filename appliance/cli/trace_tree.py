"""The work of a trace as a tree: tasks under the task that planned them, calls under their task. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.text import Text

from appliance.domain.model import Role
from appliance.domain.trace import CallRecord, Outcome, TaskRecord, Trace, Verdict, VerdictRecord

ROLE_STYLES = {
    Role.PLANNER: "magenta",
    Role.EXECUTOR: "cyan",
    Role.VERIFIER: "yellow",
    Role.SYNTHESIZER: "blue",
    Role.GENERALIST: "blue",
    Role.ROUTER: "dim",
}
OUTCOME_STYLES = {
    Outcome.OK: "green",
    Outcome.ERROR: "red",
    Outcome.CANCELLED: "yellow",
    Outcome.SKIPPED: "dim",
    Outcome.INTERRUPTED: "red",
}
_VERDICT_MARKS = {Verdict.PASS: ("✓", "green"), Verdict.FAIL: ("✗", "red"), Verdict.UNSURE: ("?", "yellow")}
_NEVER_S = float("inf")


@dataclass(slots=True)
class Node:
    """A line of the tree. Behind `label` stand `more`, and `aside`; where there is no room, below it, and nowhere.

    `notes` always stand below.
    `begun_s` and `ended_s` count from the start of the request; a task lasts from its first call to its last.
    """

    label: Text
    more: Text | None = None
    aside: Text | None = None
    notes: list[Text] = field(default_factory=list)
    call: CallRecord | None = None
    children: list[Node] = field(default_factory=list)
    own_begun_s: float = _NEVER_S
    own_ended_s: float = 0.0

    @property
    def begun_s(self) -> float:
        """When the first of it began; infinite where nothing did."""
        return min((self.own_begun_s, *(child.begun_s for child in self.children)))

    @property
    def ended_s(self) -> float:
        """When the last of it was over."""
        return max((self.own_ended_s, *(child.ended_s for child in self.children)))


def outcome_text(outcome: Outcome) -> Text:
    """The word, in its colour."""
    return Text(outcome.value, OUTCOME_STYLES.get(outcome, "red"))


def tree_of(trace: Trace) -> list[Node]:
    """The top of the tree, in the order in which things began; what never began comes last."""
    nodes = {task.task_id: _task_node(task) for task in trace.tasks}
    top: list[Node] = []
    for task in trace.tasks:
        parent = trace.parent_of(task.task_id)
        (top if parent is None else nodes[parent].children).append(nodes[task.task_id])
    plans = _plans(trace)
    for group in _attempts(trace.calls):
        task_id = group[0].task_id
        owner = task_id if task_id in nodes else trace.parent_of(task_id)
        place = top if owner is None else nodes[owner].children
        place.extend(_attempt_nodes(group, [v for v in trace.verdicts if _of_attempt(v, group[0])], plans))
    for node in nodes.values():
        node.children.sort(key=lambda child: child.begun_s)
    return sorted(top, key=lambda node: node.begun_s)


def _attempts(calls: Iterable[CallRecord]) -> Iterator[list[CallRecord]]:
    """Calls of the same attempt at the same task, in the order of their beginning."""
    groups: dict[tuple[str, int], list[CallRecord]] = {}
    for call in sorted(calls, key=lambda call: call.started_s):
        groups.setdefault((call.task_id, call.attempt), []).append(call)
    yield from groups.values()


def _of_attempt(verdict: VerdictRecord, call: CallRecord) -> bool:
    return (verdict.task_id, verdict.attempt) == (call.task_id, call.attempt)


def _attempt_nodes(calls: list[CallRecord], verdicts: list[VerdictRecord], plans: dict[str, Text]) -> list[Node]:
    """One line for each call that made something; its verdicts, and the calls for them, belong to the last of these."""
    nodes = [_call_node(call, plans.get(call.call_id)) for call in calls if call.role is not Role.VERIFIER]
    checks = [_call_node(call) for call in calls if call.role is Role.VERIFIER]
    if not nodes:
        return checks
    judged = nodes[-1]
    for verdict in verdicts:
        mark, style = _VERDICT_MARKS[verdict.verdict]
        judged.label.append(f"  {mark} {verdict.probability:.2f}", style)
    if verdicts:
        judged.aside = Text("; ".join(_rule(verdict) for verdict in verdicts), "dim")
    judged.notes += [
        Text(f"{verdict.verdict.value}: {verdict.reason}", "dim") for verdict in verdicts if verdict.reason
    ]
    judged.children += checks
    return nodes


def _rule(verdict: VerdictRecord) -> str:
    marks = [verdict.rule, "" if verdict.calibrated or not verdict.verifier_model_id else "uncalibrated"]
    marks.append("self-judged" if verdict.self_judged else "")
    return f"(≥ {verdict.threshold:.2f}, {', '.join(mark for mark in marks if mark)})"


def _task_node(task: TaskRecord) -> Node:
    label = Text.assemble((task.task_id, "bold"), " ", (task.skill, "cyan"))
    if task.outcome is not Outcome.OK:
        label.append("  ").append_text(outcome_text(task.outcome))
    if task.attempts > 1:
        accepted = "none" if task.accepted_attempt is None else str(task.accepted_attempt)
        label.append(f"  {task.attempts} attempts, took {accepted}", "yellow")
    more = Text()
    if task.instruction is not None:
        more.append(" ".join(task.instruction.split()), "italic")
    if task.result is not None:
        more.append(f" → {' '.join(task.result.split())}", "bold")
    if task.needs:
        label.append(f"  needs {', '.join(task.needs)}", "dim")
    return Node(label, more or None)


def _call_node(call: CallRecord, plan: Text | None = None) -> Node:
    label = Text.assemble(
        (call.role.value, ROLE_STYLES[call.role]),
        f" {call.model_id}",
        (f" #{call.attempt}" if call.attempt > 1 else "", "yellow"),
    )
    if call.outcome is not Outcome.OK:
        label.append("  ").append_text(outcome_text(call.outcome))
    notes = [Text(call.error, "red")] if call.error else []
    return Node(label, plan, None, notes, call, own_begun_s=call.started_s, own_ended_s=call.ended_s)


def _plans(trace: Trace) -> dict[str, Text]:
    """Call id → the tasks of its plan, for the last planner call of each plan: the ones before it were rejected."""
    last = {trace.parent_of(c.task_id): c for c in trace.calls if c.role is Role.PLANNER and c.outcome is Outcome.OK}
    plans = {}
    for parent, call in last.items():
        steps = [task for task in trace.tasks if trace.parent_of(task.task_id) == parent]
        if steps:
            listed = ", ".join(f"{task.task_id}({','.join(task.needs)})" for task in steps)
            plans[call.call_id] = Text(f"plan: {listed}", "dim")
    return plans
