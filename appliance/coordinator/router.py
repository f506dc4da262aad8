"""The strategy for a request: rules, each with its reason. Pure.

What is wanted:
1. What only one call can keep (several choices, logprobs, images; tools and a form of the answer where no synthesizer
   writes it) is direct, and so is a conversation that does not end with the user.
2. The caller's own choice, where the configuration leaves it to callers.
3. The operator's rules in their order: the first that matches.
4. A learned head, where one is promoted.
5. Enough cues in the last message, unless it is very long: `orchestrated`; else `easy`.

Whether it can be had:
6. The tenant's policy and the effort must allow it.
7. The strategies that plan need a planner and executors; they alone keep tools and a form besides `direct`.
What can't is answered by `easy` where that can, else directly; a caller who chose it is told so. Where a policy leaves
none of these, the first strategy that it allows and that can be had answers, or the request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from appliance.coordinator.options import CoordinatorOptions, Roles
from appliance.coordinator.rule_match import Matcher
from appliance.domain.request import ChatRequest
from appliance.domain.strategy import DIRECT, PASSTHROUGH, PLANNED, HeadChoice
from appliance.domain.trace import Decision
from appliance.errors import ConfigError, InvalidRequest, NotAllowed

Suggest = Callable[[str, Collection[str]], HeadChoice | None]
"""A learned head: the prompt and the strategies that can be had → its choice. Asked where nothing decided before."""


def no_head(_prompt: str, _strategies: Collection[str]) -> None:
    """Where no head was learned."""


class Router:
    """The rules of one configuration at one effort, compiled once; `known` are the strategies that there are.

    Raises ConfigError for a cue that is no regular expression.
    """

    def __init__(self, options: CoordinatorOptions, known: Collection[str]) -> None:
        self._options = options
        self._known = tuple(name for name in known if name != PASSTHROUGH)
        self._can_plan = bool(options.roles.planner and options.roles.executors)
        self._cues = tuple(_compiled(cue) for cue in options.direct.cues)
        self._rules = tuple((rule, Matcher(rule.when)) for rule in options.rules)

    def decide(self, request: ChatRequest, tenant: str, suggest: Suggest = no_head) -> Decision:
        """The strategy and why. The reasons quote the configuration, never the prompt.

        Raises InvalidRequest for a strategy of the caller's choice that can't be had, NotAllowed where none is left.
        """
        chosen = self._chosen(request)
        if (kept := next(_one_call_reasons(request, self._options.roles), None)) is not None:
            if not self._options.permits(DIRECT):
                raise NotAllowed(f"{kept}, and the policy does not allow {DIRECT}", param="model")
            return Decision(DIRECT, (kept,))
        if chosen is not None:
            return Decision(chosen, ("the caller chose it",))
        if (ruled := self._by_rule(request, tenant)) is not None:
            return self._possible(ruled, request)
        possible = [name for name in self._known if not self._obstacle(name, request)]
        head = suggest(request.messages[-1].content, possible)
        if head is not None and not head.shadow:
            return Decision(head.strategy, (head.reason,), head.strategy, head_decided=True)
        usual = self._possible(self._by_default(request), request)
        return usual if head is None else replace(usual, head_strategy=head.strategy)

    def asks_head(self, request: ChatRequest, tenant: str) -> bool:
        """Whether a learned head would be asked: nothing that comes before it decides."""
        kept = next(_one_call_reasons(request, self._options.roles), None)
        return request.strategy is None and kept is None and self._by_rule(request, tenant) is None

    def _chosen(self, request: ChatRequest) -> str | None:
        name = request.strategy
        if name is None:
            return None
        if not self._options.allow_choice:
            raise _refused("callers may not choose here; leave it out, or set coordinator.allow_choice")
        if name not in self._known:
            raise _refused(f"there is none of the name {name}; known: {', '.join(self._known)}")
        if obstacle := self._obstacle(name, request):
            raise _refused(obstacle)
        return name

    def _by_rule(self, request: ChatRequest, tenant: str) -> Decision | None:
        for rule, matcher in self._rules:
            matched = matcher.matched(request, tenant)
            if matched is not None:
                return Decision(rule.use, (f"rule {rule.name}: {', '.join(matched) or 'every request'}",))
        return None

    def _by_default(self, request: ChatRequest) -> Decision:
        options, rule = self._options, self._options.direct
        last = request.messages[-1].content
        if len(last) > rule.max_prompt_chars:
            return Decision(options.easy, (f"{len(last)} characters > {rule.max_prompt_chars}",))
        counts = [(cue.pattern, len(cue.findall(last))) for cue in self._cues]
        found, wanted = sum(count for _, count in counts), rule.min_cues
        if found < wanted:
            return Decision(options.easy, (f"{found} cues < {wanted}",))
        which = ", ".join(f"{pattern} ×{count}" for pattern, count in counts if count)
        return Decision(options.orchestrated, (f"{found} cues ≥ {wanted}" + (f": {which}" if which else ""),))

    def _possible(self, wanted: Decision, request: ChatRequest) -> Decision:
        """What is wanted, or what stands in for it."""
        reasons = wanted.reasons
        for name in (wanted.strategy, self._options.easy):
            obstacle = self._obstacle(name, request)
            if not obstacle:
                return Decision(name, reasons)
            if obstacle not in reasons:
                reasons = (*reasons, obstacle)
        for name in (DIRECT, *sorted(self._options.permitted or ())):
            if name in self._known and not self._obstacle(name, request):
                return Decision(name, reasons)
        raise NotAllowed(f"no strategy is left that the policy allows: {'; '.join(reasons)}", param="model")

    def _obstacle(self, name: str, request: ChatRequest) -> str:
        """Why a strategy can't be had; empty when it can."""
        if not self._options.permits(name):
            return f"the policy does not allow {name}"
        allowed = self._options.allowed
        if allowed is not None and name not in allowed and name != DIRECT:
            return f"effort {request.effort.value} does not allow {name}"
        if name in PLANNED and not self._can_plan:
            return "no planner and executors are configured"
        if name not in (DIRECT, *PLANNED) and (field := next(_form_fields(request), None)):
            return f"{name} can't keep {field}"
        return ""


def _one_call_reasons(request: ChatRequest, roles: Roles) -> Iterator[str]:
    for field in _one_call_fields(request, roles):
        yield f"the request asks for {field}, which one call must keep"
    if not request.messages or request.messages[-1].role != "user":
        yield "the conversation does not end with the user"


def _one_call_fields(request: ChatRequest, roles: Roles) -> Iterator[str]:
    sampling = request.sampling
    if not roles.writers(sampling):
        yield from _form_fields(request)
    if (sampling.get("n") or 1) > 1:
        yield "n > 1"
    if sampling.get("logprobs"):
        yield "logprobs"
    if request.has_images:
        yield "images"


def _form_fields(request: ChatRequest) -> Iterator[str]:
    """What whoever writes the final answer must keep."""
    sampling = request.sampling
    response_format = sampling.get("response_format")
    if sampling.get("tools"):
        yield "tools"
    if response_format and response_format.get("type") != "text":
        yield "response_format"
    if sampling.get("structured_outputs"):
        yield "structured_outputs"


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(f"strategy: {reason}", param="strategy")


def _compiled(cue: str) -> re.Pattern[str]:
    try:
        return re.compile(cue)
    except re.error as error:
        raise ConfigError(f"coordinator.direct.cues: {cue!r} is no regular expression: {error}") from None
