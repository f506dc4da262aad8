"""Tenants' policies and the rules of data labels, and what they say together of a request or an engine. Pure.

A request stands under its tenant's policy, under that policy's own rules for the labels of its data, and under the
rules that hold for those labels whoever asks. All of them must allow it. What no rule knows is refused: a policy, a
label, a model's licence where one is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from appliance.domain.forecast import Reduction
from appliance.domain.request import Effort
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import DEFAULT
from appliance.domain.use_rule import EFFORTS, NOTHING_ASKED, Origin, UseRule

_REMEMBERED: Final = 4_096
"""Answers about engines are looked up again after so many different ones."""


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """What a tenant may use, all of its requests together; None: no limit.

    Tokens are prompt and completion together, `gpu_s` device-seconds; a month is a calendar month in UTC.
    """

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    requests_in_flight: int | None = None
    gpu_s_per_hour: float | None = None
    gpu_s_per_month: float | None = None

    def over(self, defaults: TenantLimits) -> TenantLimits:
        """These, and the default where nothing is said."""
        names = ("requests_per_min", "tokens_per_min", "requests_in_flight", "gpu_s_per_hour", "gpu_s_per_month")
        mine = {name: getattr(self, name) for name in names}
        return replace(defaults, **{name: value for name, value in mine.items() if value is not None})


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What tenants of this policy may use.

    `for_labels` are further rules for data of a label, beside those that hold for everybody. `only_labels`: no other
    labels may be borne (None: any known one). `default_labels` are borne by all their requests. `weight` is the share
    of a full appliance that each of them gets, against the weights of the others.
    """

    rule: UseRule = NOTHING_ASKED
    for_labels: Mapping[str, UseRule] = field(default_factory=dict)
    only_labels: frozenset[str] | None = None
    default_labels: frozenset[str] = frozenset()
    limits: TenantLimits = field(default_factory=TenantLimits)
    weight: float = 1.0


class NamedRule(NamedTuple):
    """A rule with the name under which refusals show it."""

    name: str
    rule: UseRule


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for that a policy may bound.

    `strategy` is the caller's own choice of one; `passthrough` where it names a model.
    """

    max_tokens: int | None = None
    effort: Effort = Effort.MEDIUM
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request may have.

    `strategies`: None allows all. `keep_content`: False forbids it, whatever else allows it; None leaves it to the
    configuration. `clipped` says what was lowered, and which rule is the reason.
    """

    wish: Wish
    strategies: frozenset[str] | None = None
    keep_content: bool | None = None
    keep_days: int | None = None
    clipped: tuple[Reduction, ...] = ()

    def allows(self, strategy: str) -> bool:
        """Whether it may be answered so."""
        return self.strategies is None or strategy in self.strategies


@dataclass(frozen=True, slots=True)
class Denial:
    """The rule that refuses, and why. `param` is the field of the body that it is about."""

    rule: str
    reason: str
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.rule}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """All rules of one configuration: by label, policies by name, and what is known of the models.

    The policy `default` is there without being configured and asks about nothing. A label without a rule is not known,
    and nothing may see its data.
    """

    rules: Mapping[str, UseRule] = field(default_factory=dict)
    policies: Mapping[str, TenantPolicy] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    _answers: dict[tuple[str, frozenset[str], str, str], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, policy: str) -> TenantPolicy | None:
        """The policy of this name; None where there is none."""
        return self.policies.get(policy, _DEFAULT_POLICY if policy == DEFAULT else None)

    def weight(self, policy: str) -> float:
        """The share of its tenants where several wait."""
        known = self.of(policy)
        return 1.0 if known is None else known.weight

    def rules_for(self, policy: str, labels: Collection[str]) -> Iterator[NamedRule]:
        """The rules that a request stands under, in the order in which they are asked. Both are known."""
        tenant = self.of(policy)
        assert tenant is not None, "an unknown policy is refused before"
        yield NamedRule(f"policy {policy}", tenant.rule)
        for label in sorted(labels):
            if label in tenant.for_labels:
                yield NamedRule(f"policy {policy}, label {label}", tenant.for_labels[label])
        for label in sorted(labels):
            yield NamedRule(f"label {label}", self.rules[label])

    def outsider(self, policy: str, labels: Collection[str]) -> Denial | None:
        """Why no request of this policy may bear these labels: a name without a rule, or one not meant for it."""
        tenant = self.of(policy)
        if tenant is None:
            return Denial(f"policy {policy}", "there is none of this name; give it under policy.files")
        for label in sorted(labels):
            if label not in self.rules:
                return Denial(f"label {label}", "it is not known", "labels")
            if tenant.only_labels is not None and label not in tenant.only_labels:
                return Denial(f"policy {policy}", f"label {label} may not be borne under it", "labels")
        return None

    def refusal(self, labels: Collection[str], model_id: str, node: str, policy: str = DEFAULT) -> str:
        """Why an engine may not be used for data of all `labels`, naming the first rule against it; empty if it may."""
        key = (policy, frozenset(labels), model_id, node)
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            denial = self.denial(policy, labels, model_id, node)
            known = self._answers[key] = "" if denial is None else str(denial)
        return known

    def denial(self, policy: str, labels: Collection[str], model_id: str, node: str | None = None) -> Denial | None:
        """Why a model, on a node where one is named, may not be used."""
        if (outsider := self.outsider(policy, labels)) is not None:
            return outsider
        origin = self.origins.get(model_id, _UNKNOWN)
        for name, rule in self.rules_for(policy, labels):
            if reason := rule.model_refusal(model_id, origin):
                return Denial(name, reason, "labels" if labels else "model")
            if node is not None and (reason := rule.node_refusal(node)):
                return Denial(name, reason, "labels" if labels else "model")
        return None

    def granted(self, policy: str, labels: Collection[str], wish: Wish) -> Grant | Denial:
        """What a request may have of strategies, effort and length; Denial where a rule refuses instead of lowering."""
        if (outsider := self.outsider(policy, labels)) is not None:
            return outsider
        tenant = self.of(policy)
        assert tenant is not None, "an outsider is refused before"
        grant = Grant(wish, keep_content=tenant.rule.keep_content)
        for name, rule in self.rules_for(policy, labels):
            narrowed = _narrowed(grant, wish, name, rule)
            if isinstance(narrowed, Denial):
                return narrowed
            grant = narrowed
        return grant


def _narrowed(grant: Grant, asked: Wish, name: str, rule: UseRule) -> Grant | Denial:
    """The grant under one more rule; what it refuses is what was asked for, whatever other rules lowered."""
    wish, clipped = grant.wish, list(grant.clipped)
    if rule.max_tokens is not None:
        if asked.max_tokens is not None and asked.max_tokens > rule.max_tokens:
            if not rule.clip:
                reason = f"max_tokens {asked.max_tokens} is more than {rule.max_tokens}; ask for less"
                return Denial(name, reason, "max_tokens")
            clipped.append(Reduction(f"max_tokens is at most {rule.max_tokens}", name))
        wish = replace(wish, max_tokens=min(wish.max_tokens or rule.max_tokens, rule.max_tokens))
    if rule.max_effort is not None and EFFORTS.index(asked.effort) > EFFORTS.index(rule.max_effort):
        # `medium` is what a request has that does not say: it is lowered, not refused.
        if asked.effort is not Effort.MEDIUM and not rule.clip:
            return Denial(name, f"effort {asked.effort} is more than {rule.max_effort}; ask for less", "effort")
        clipped.append(Reduction(f"effort is at most {rule.max_effort}", name))
        wish = replace(wish, effort=min(wish.effort, rule.max_effort, key=EFFORTS.index))
    strategies = grant.strategies
    if rule.strategies is not None:
        if asked.strategy is not None and asked.strategy not in rule.strategies:
            if not rule.clip or asked.strategy == PASSTHROUGH:
                allowed = ", ".join(sorted(rule.strategies)) or "none"
                return Denial(name, f"strategy {asked.strategy} is not allowed for it; allowed: {allowed}", "strategy")
            clipped.append(Reduction(f"not by {asked.strategy}", name))
            wish = replace(wish, strategy=None)
        strategies = rule.strategies if strategies is None else strategies & rule.strategies
    return Grant(
        wish,
        strategies,
        False if rule.keep_content is False else grant.keep_content,  # the label's `true` opens nothing
        _least(grant.keep_days, rule.keep_days),
        tuple(clipped),
    )


def _least(before: int | None, said: int | None) -> int | None:
    given = [days for days in (before, said) if days is not None]
    return min(given, default=None)


_DEFAULT_POLICY: Final = TenantPolicy()
_UNKNOWN: Final = Origin()

OPEN: Final = DataPolicy()
"""Without labels and policies there is nothing to keep apart."""
