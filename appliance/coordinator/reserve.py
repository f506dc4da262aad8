"""What must stay in a request's budget for the work that is still to come. Pure."""

from __future__ import annotations

from appliance.coordinator.budget import Budget, Need
from appliance.coordinator.options import CoordinatorOptions
from appliance.domain.model import Role

_TEMPLATE_TOKENS = 512
"""The part of a prompt that is always the same, on the high side."""


def plus(one: Need, other: Need) -> Need:
    """Both."""
    return Need(one.calls + other.calls, one.tokens + other.tokens)


def first_attempts(options: CoordinatorOptions, count: int) -> Need:
    """One call of an executor for each of `count` tasks."""
    return Need(count, count * options.sampling_of(Role.EXECUTOR).max_tokens)


def synthesis(options: CoordinatorOptions) -> Need:
    """The call that writes the answer, where there is one."""
    return Need(1, options.sampling_of(Role.SYNTHESIZER).max_tokens) if options.roles.synthesizer else Need()


def open_plan(options: CoordinatorOptions, question: str, max_tasks: int) -> Need:
    """While a plan is being written it may still be rejected: a second one, and `max_tasks` tasks of it.

    This is more than any rest of the plan at hand needs, so the same reserve is enough when it is accepted.
    """
    planner_tokens = options.sampling_of(Role.PLANNER).max_tokens  # of its answer, and of the bad plan in its prompt
    second = Need(1, 2 * planner_tokens + len(question) + _TEMPLATE_TOKENS)
    return plus(second, first_attempts(options, max_tasks))


def fits(budget: Budget, options: CoordinatorOptions, prompt_chars: int, need: Need) -> bool:
    """Whether a call of an executor or a verifier leaves `need`; a prompt counts for twice its usual tokens."""
    answer = max(options.sampling_of(role).max_tokens for role in (Role.EXECUTOR, Role.VERIFIER))
    tokens = answer + prompt_chars + _TEMPLATE_TOKENS
    calls_left = budget.limits.calls - budget.used_calls
    return calls_left > need.calls and budget.remaining_tokens >= tokens + need.tokens
