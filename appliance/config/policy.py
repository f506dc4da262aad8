"""The section `policy`, and the files that it names: what tenants and labels of data allow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from appliance.config.section import Section
from appliance.domain.identifier import Identifier


class RuleSettings(Section):
    """What may be used. What is left out is not asked about."""

    models: tuple[Identifier, ...] | None = None
    """Models of the pool."""
    licences: tuple[str, ...] | None = None
    """Models under one of these licences (SPDX identifiers)."""
    countries: tuple[str, ...] | None = None
    """Models from one of these countries, as their manifests name it."""
    publishers: tuple[str, ...] | None = None
    """Models from one of these publishers, as their manifests name it."""
    nodes: tuple[str, ...] | None = None
    """Engines on these nodes. `local` is this machine."""
    strategies: tuple[Identifier, ...] | None = None
    """Ways to answer. `passthrough` is what a caller gets who names a model. Without `direct` nothing falls back."""
    max_effort: Literal["low", "medium", "high"] | None = None
    """The most effort that a request may ask for. One that does not say gets no more than this."""
    max_tokens: int | None = Field(None, ge=1)
    """The longest answer that a request may ask for. One that does not say gets no more than this."""
    beyond: Literal["refuse", "clip"] = "refuse"
    """A request for another strategy, more effort or a longer answer is refused, or gets what is allowed."""
    keep_content: bool | None = None
    """Whether prompts and answers may be kept in traces. On a tenant's policy it stands for `ledger.keep_content`; on a
    label only `false` has a meaning."""
    keep_days: int | None = Field(None, ge=1)
    """Traces are deleted after so many days, whatever `ledger.keep_days` says; the least of several."""


class LabelSettings(RuleSettings):
    """What may be used for data of one label."""


class LimitsSettings(Section):
    """What a tenant may use, all of its requests together. Null: no limit."""

    requests_per_min: int | None = Field(None, ge=1)
    """Requests within the last minute; more of them are refused with 429 and a time to wait."""
    tokens_per_min: int | None = Field(None, ge=1)
    """Prompt and completion tokens within the last minute."""
    requests_in_flight: int | None = Field(None, ge=1)
    """Requests that are answered at the same time; more of them are refused with 429 and a time to wait."""
    gpu_s_per_hour: float | None = Field(None, gt=0)
    """Device-seconds within the last hour."""
    gpu_s_per_month: float | None = Field(None, gt=0)
    """Device-seconds of a calendar month (UTC). They are counted across restarts."""


class TenantPolicySettings(RuleSettings):
    """What the tenants of one policy may use."""

    for_labels: dict[Identifier, LabelSettings] = Field(default_factory=dict)
    """Further rules for data of a label, beside those under `labels` that hold for everybody."""
    only_labels: tuple[Identifier, ...] | None = None
    """Labels that their requests may bear; a request with any other is refused. Null: all that are known."""
    default_labels: tuple[Identifier, ...] = ()
    """Labels that the data of all their requests bear, whatever the request says."""
    limits: LimitsSettings = Field(default_factory=lambda: LimitsSettings())
    """What each tenant may use. What is left out is as `coordinator.tenant_budget` says."""
    weight: float = Field(1.0, gt=0, le=1000)
    """Share of a full appliance that each tenant gets, against the weights of the others that want some of it."""


class PolicyFile(Section):
    """A file of `policy.files`."""

    version: Literal[1] = 1
    """Version of this schema."""
    labels: dict[Identifier, LabelSettings] = Field(default_factory=dict)
    """Labels that requests may bear, and what may be used for such data."""
    policies: dict[Identifier, TenantPolicySettings] = Field(default_factory=dict)
    """Policies by name; `appliance tenants set` says which one a tenant has."""


class PolicySettings(Section):
    """Which data may go where, and what tenants may use. It is asked before each call, and again for each engine that
    could take the call."""

    files: tuple[Path, ...] = ()
    """Further files with `labels` and `policies`, from the directory of this one on. No name may stand in two."""
    labels: dict[Identifier, LabelSettings] = Field(default_factory=dict)
    """Labels that requests may bear. A request with any other label is refused."""
    default_labels: tuple[Identifier, ...] = ()
    """Labels that the data of every request bear, whatever the request says."""
    policies: dict[Identifier, TenantPolicySettings] = Field(default_factory=dict)
    """Policies by name. `default` is that of tenants that name none, and of the keys in `server.api_key_file`; where it
    is not given it asks about nothing."""

    def problems(self, pool: Collection[str], strategies: Collection[str]) -> list[str]:
        """Names that the rest of the configuration does not know, each with its key and the way out."""
        found = [problem for key, rule in self._rules() for problem in _unknown_names(key, rule, pool, strategies)]
        for key, labels in self._named_labels():
            found += [
                f"{key}: {label} has no rule; add it under policy.labels"
                for label in labels
                if label not in self.labels
            ]
        return found

    def _rules(self) -> Iterator[tuple[str, RuleSettings]]:
        yield from ((f"policy.labels.{label}", rule) for label, rule in self.labels.items())
        for name, policy in self.policies.items():
            yield f"policy.policies.{name}", policy
            for label, rule in policy.for_labels.items():
                yield f"policy.policies.{name}.for_labels.{label}", rule

    def _named_labels(self) -> Iterator[tuple[str, Collection[str]]]:
        yield "policy.default_labels", self.default_labels
        for name, policy in self.policies.items():
            yield f"policy.policies.{name}.for_labels", policy.for_labels
            yield f"policy.policies.{name}.only_labels", policy.only_labels or ()
            yield f"policy.policies.{name}.default_labels", policy.default_labels


def merged(into: Mapping[str, object], further: PolicyFile, source: str) -> dict[str, object]:
    """The section of a configuration file with what one more file says. Raises ValueError for a name in both."""
    whole = dict(into)
    for kind, said in (("labels", further.labels), ("policies", further.policies)):
        before = whole.get(kind) or {}
        if not isinstance(before, dict):
            continue  # the schema's error names the key
        if twice := sorted(set(before) & set(said)):
            raise ValueError(f"{source}: {kind}.{twice[0]} is given elsewhere too; rename one of them")
        whole[kind] = before | {name: rule.model_dump(exclude_unset=True) for name, rule in said.items()}
    return whole


def _unknown_names(key: str, rule: RuleSettings, pool: Collection[str], strategies: Collection[str]) -> Iterator[str]:
    for model in rule.models or ():
        if model not in pool:
            yield f"{key}.models: {model} is not in the pool; name one of {', '.join(pool)}"
    for strategy in rule.strategies or ():
        if strategy not in strategies:
            yield f"{key}.strategies: there is no strategy {strategy}; known: {', '.join(strategies)}"
