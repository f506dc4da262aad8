"""`appliance policy explain`: whether something is allowed, and by which rule."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.bootstrap.access import open_ledger
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.pool import pool_models
from appliance.cli.door import RUNTIME_FAILURE
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.domain.credential import TenantRecord
from appliance.domain.policy import DataPolicy, Denial, Grant, Wish
from appliance.domain.request import Effort
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import DEFAULT
from appliance.errors import ConfigError, NotFound
from appliance.ledger.access_store import AccessStore

commands = typer.Typer(help="What tenants and labels of data allow.", no_args_is_help=True)


@commands.command()
def explain(
    tenant: Annotated[str, typer.Option("--tenant", help="Who asks.")] = DEFAULT,
    label: Annotated[list[str] | None, typer.Option("--label", help="A label of the data; more than once.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model of the pool, or the virtual one.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="The node that it runs on.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="A way to answer.")] = None,
    effort: Annotated[Effort, typer.Option("--effort", help="How much may be spent.")] = Effort.MEDIUM,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="The longest answer.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say yes (exit code 0) or no (1) to a request, and which rule decides it."""
    settings = settings_of(config)
    models = pool_models(settings)
    policy = data_policy(settings, models)
    if model not in (None, settings.coordinator.virtual_model, *models):
        raise ConfigError(f"--model {model}: not in the pool; name one of {', '.join(models)}")
    with closing(open_ledger(settings)) as ledger:
        snapshot = AccessStore(ledger, lambda: 0.0).snapshot()
    known = {DEFAULT: TenantRecord(DEFAULT)} | {record.name: record for record in snapshot.tenants}
    if tenant not in known:
        raise NotFound(f"no tenant {tenant}; `appliance tenants list` shows those that there are")
    record = known[tenant]
    own = policy.of(record.policy)
    labels = record.labels | frozenset(label or ()) | (own.default_labels if own else frozenset())
    named = model in models
    wish = Wish(max_tokens, effort, PASSTHROUGH if named and strategy is None else strategy)
    asked = model if named else None
    answer = _decided(policy, record, labels, asked, node, wish)
    document = _document(policy, record, labels, answer)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(document)
    if isinstance(answer, Denial):
        raise typer.Exit(RUNTIME_FAILURE)


def _decided(
    policy: DataPolicy, tenant: TenantRecord, labels: frozenset[str], model: str | None, node: str | None, wish: Wish
) -> Grant | Denial:
    if tenant.disabled_unix_s is not None:
        return Denial(f"tenant {tenant.name}", "it is disabled")
    if (outsider := policy.outsider(tenant.policy, labels)) is not None:
        return outsider
    if model is not None and (denial := policy.denial(tenant.policy, labels, model, node)) is not None:
        return denial
    if model is None and node is not None:
        for name, rule in policy.rules_for(tenant.policy, labels):
            if reason := rule.node_refusal(node):
                return Denial(name, reason)
    return policy.granted(tenant.policy, labels, wish)


def _document(
    policy: DataPolicy, tenant: TenantRecord, labels: frozenset[str], answer: Grant | Denial
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "allowed": isinstance(answer, Grant),
        "tenant": tenant.name,
        "policy": tenant.policy,
        "labels": sorted(labels),
    }
    if isinstance(answer, Denial):
        return document | {"rule": answer.rule, "reason": answer.reason}
    rules = policy.rules_for(tenant.policy, labels)
    own = policy.of(tenant.policy)
    assert own is not None, "an unknown policy was refused"
    limits = {name: value for name, value in asdict(own.limits).items() if value is not None}
    return document | {
        "rules": {name: dict(rule.said()) for name, rule in rules},
        "lowered": [f"{clipped.step} ({clipped.reason})" for clipped in answer.clipped],
        "strategies": None if answer.strategies is None else sorted(answer.strategies),
        "max_tokens": answer.wish.max_tokens,
        "effort": answer.wish.effort,
        "keep_content": answer.keep_content,
        "keep_days": answer.keep_days,
        "limits": limits,
        "weight": own.weight,
    }


def _print(document: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not document["allowed"]:
        console.print(f"no: {document['rule']}: {document['reason']}")
        return
    labels = f", labels {', '.join(document['labels'])}" if document["labels"] else ""
    console.print(f"yes: tenant {document['tenant']}, policy {document['policy']}{labels}")
    for name, said in document["rules"].items():
        asks = "; ".join(f"{key}: {value}" for key, value in said.items())
        console.print(f"  {name}: {asks or 'asks about nothing'}")
    for lowered in document["lowered"]:
        console.print(f"  lowered: {lowered}")
    for name, value in document["limits"].items():
        console.print(f"  limit {name}: {value:g}")
