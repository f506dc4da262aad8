"""A trace with everything in it: a plan, parallel tasks, a repair, a fallback."""

from __future__ import annotations

from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import (
    BudgetRecord,
    CallRecord,
    Decision,
    Fallback,
    Outcome,
    TaskRecord,
    Trace,
    Verdict,
    VerdictRecord,
)


def call_record(
    call_id: str, task_id: str, role: Role, model_id: str, started_s: float, attempt: int = 1
) -> CallRecord:
    """A call of 40 + 10 tokens that took 120 ms."""
    return CallRecord(
        call_id=call_id,
        task_id=task_id,
        role=role,
        model_id=model_id,
        engine_id=f"{model_id}-0",
        attempt=attempt,
        started_s=started_s,
        queue_s=0.02,
        engine_s=0.12,
        first_token_s=0.03,
        usage=Usage(prompt_tokens=40, completion_tokens=10),
        outcome=Outcome.OK,
        gpu_s=0.06,
    )


def verdict(task_id: str, attempt: int, kind: Verdict, probability: float) -> VerdictRecord:
    """A verdict at the threshold 0.5."""
    return VerdictRecord(task_id, attempt, kind, probability, 0.5, "last_token", "starter-verifier")


def repaired_trace(trace_id: str = "0f" * 16, tenant: str = "default") -> Trace:
    """Two tasks; the second one failed its first verdict, and the synthesizer fell back."""
    calls = (
        call_record("c1", "plan", Role.PLANNER, "starter-planner", 0.0),
        call_record("c2", "s1", Role.EXECUTOR, "starter-math", 0.2),
        call_record("c3", "s1", Role.VERIFIER, "starter-verifier", 0.3),
        call_record("c4", "s2", Role.EXECUTOR, "starter-text", 0.4),
        call_record("c5", "s2", Role.VERIFIER, "starter-verifier", 0.5),
        call_record("c6", "s2", Role.EXECUTOR, "starter-text", 0.6, attempt=2),
        call_record("c7", "s2", Role.VERIFIER, "starter-verifier", 0.7, attempt=2),
        call_record("c8", "answer", Role.GENERALIST, "starter-generalist", 0.8),
    )
    return Trace(
        trace_id=trace_id,
        request_id="req-1",
        tenant=tenant,
        requested_model="auto",
        created_unix_s=1_700_000_000.0,
        duration_s=0.93,
        decision=Decision("plan_execute_verify", ("4 cues, at least 3 wanted",)),
        tasks=(
            TaskRecord("s1", "math", (), Outcome.OK, 1, 1, "12*7", "84"),
            TaskRecord("s2", "text", ("s1",), Outcome.OK, 2, 2, "reverse [red]QEXAR[/red]", "RAXEQ"),
        ),
        calls=calls,
        verdicts=(
            verdict("s1", 1, Verdict.PASS, 0.98),
            verdict("s2", 1, Verdict.FAIL, 0.11),
            verdict("s2", 2, Verdict.PASS, 0.91),
        ),
        fallbacks=(Fallback(Role.SYNTHESIZER, "no engine is ready", "took the last result"),),
        budget=BudgetRecord(48, 12_000, 60.0, 8, 400, 0.93),
        usage=Usage(320, 80),
        outcome=Outcome.OK,
        question="What is …?",
        answer="RAXEQ",
    )
