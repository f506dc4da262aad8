"""The record of everything done for one request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.domain.forecast import Reduction
from appliance.domain.model import Role
from appliance.domain.request import UNRELATED, ChatRequest, Origin, Usage


class Verdict(StrEnum):
    """What a verifier says of a result."""

    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


class Outcome(StrEnum):
    """How a call, a task or a request ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    """The process ended in the middle of it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The strategy chosen for the request and the reasons for it, in the order they were weighed.

    `head_strategy` is what a learned head chose for it; where the head did not decide, it stands on paper only.
    """

    strategy: str
    reasons: tuple[str, ...]
    head_strategy: str = ""
    head_decided: bool = False


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One engine call. Times are seconds; `started_s` counts from the start of the request.

    `queue_s` is the time until the call was sent to an engine, `engine_s` the time the engine worked on it,
    `first_token_s` the part of that until its first token. `reserved_tokens` were held in the budget while it ran.
    `finish_reason` is the engine's, None for a call that did not get to its end. `usage_estimated`: the engine did not
    get to tell its usage, so the prompt was estimated and the tokens that came were counted. `gpu_s` are the
    device-seconds that the call was charged, which it shares with the calls beside it on the engine. `prompt` and
    `answer` are kept only where the policy says so.
    """

    call_id: str
    task_id: str
    role: Role
    model_id: str
    engine_id: str
    attempt: int
    started_s: float
    queue_s: float
    engine_s: float
    first_token_s: float | None
    usage: Usage
    outcome: Outcome
    error: str = ""
    prompt: str | None = None
    answer: str | None = None
    usage_estimated: bool = False
    gpu_s: float = 0.0
    reserved_tokens: int = 0
    finish_reason: str | None = None

    @property
    def ended_s(self) -> float:
        """When it was over, from the start of the request."""
        return self.started_s + self.queue_s + self.engine_s


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A verdict on one attempt of a task. `probability` is that of a right result; `rule` says how it was judged.

    `calibrated`: the threshold was measured for this verifier and this class of tasks. `self_judged`: the model that
    wrote the result judged it, because no other verifier could. `reason` (what is wrong) is kept only where the policy
    says so.
    """

    task_id: str
    attempt: int
    verdict: Verdict
    probability: float
    threshold: float
    rule: str
    verifier_model_id: str
    calibrated: bool = False
    self_judged: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task of the graph as planned and as it ended. `instruction` and `result` only where the policy says so."""

    task_id: str
    skill: str
    needs: tuple[str, ...]
    outcome: Outcome
    attempts: int
    accepted_attempt: int | None
    instruction: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """The request went on another way than planned."""

    role: Role
    reason: str
    action: str


@dataclass(frozen=True, slots=True)
class BudgetRecord:
    """Limits of the request and what was used of them. None: GPU-seconds are not limited."""

    limit_calls: int
    limit_tokens: int
    limit_wall_s: float
    used_calls: int
    used_tokens: int
    used_wall_s: float
    stopped_by: str | None = None
    limit_gpu_s: float | None = None
    used_gpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything of one request. `created_unix_s` is wall time, all other times are durations.

    `reduced` is what was left out of the whole plan because it did not fit or a policy does not allow it.
    `delete_after_unix_s`: when it is to be deleted, where a policy says so; else the ledger's settings hold.
    `request`, `question` (its last message) and `answer` are kept only where the policy says so; with `request` it can
    be run again. Fields that came later have defaults, so that traces stored before can be read.
    """

    trace_id: str
    request_id: str
    tenant: str
    requested_model: str
    created_unix_s: float
    duration_s: float
    decision: Decision
    tasks: tuple[TaskRecord, ...]
    calls: tuple[CallRecord, ...]
    verdicts: tuple[VerdictRecord, ...]
    fallbacks: tuple[Fallback, ...]
    budget: BudgetRecord
    usage: Usage
    outcome: Outcome
    error: str = ""
    question: str | None = None
    answer: str | None = None
    request: ChatRequest | None = None
    origin: Origin = UNRELATED
    reduced: tuple[Reduction, ...] = ()
    delete_after_unix_s: float | None = None

    @property
    def gpu_s(self) -> float:
        """Device-seconds of all calls."""
        return sum(call.gpu_s for call in self.calls)

    def parent_of(self, task_id: str) -> str | None:
        """The task whose own plan `task_id` is part of: ids of a nested plan begin with the outer one's and a dot."""
        known = {task.task_id for task in self.tasks}
        outer = task_id
        while "." in outer:
            outer = outer.rpartition(".")[0]
            if outer in known:
                return outer
        return None
