"""The chart's `values.yaml`: every key with its default, and its meaning above it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from appliance.chart.values import HelmValues

_HEAD = """\
# Values of the chart `appliance`, and their defaults. Made by deploy/helm/sync.sh from appliance/chart/; a test keeps
# it true, and values.schema.json refuses what is not in it. Profiles to start from, to be combined with -f:
#
#   values-cpu.yaml      the starter pool on small nodes without a GPU
#   values-small.yaml    one GPU
#   values-ha.yaml       several gateways, a database that they share, alerts
#   values-airgap.yaml   a private registry, digests, a store that is filled by a bundle
#
# What each object is for, scaling, upgrade and rollback: docs/helm.md.
"""
_WIDTH = 118


def values_yaml() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *_lines(HelmValues(), 0, set())])


def _lines(part: BaseModel, depth: int, told: set[type[BaseModel]]) -> Iterator[str]:
    """Keys of a kind of part that stands in several places are explained at the first."""
    first = type(part) not in told
    told.add(type(part))
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if first:
            yield from _comment(field, depth)
        key = f"{'  ' * depth}{field.alias or name}:"
        if isinstance(value, BaseModel) and type(value).model_fields:
            yield key
            yield from _lines(value, depth + 1, told)
        else:
            yield f"{key} {_flow(part, name, field)}"
        if depth == 0:
            yield ""


def _comment(field: FieldInfo, depth: int) -> Iterator[str]:
    lead = f"{'  ' * depth}# "
    yield from textwrap.wrap(
        " ".join((field.description or "").split()), _WIDTH, initial_indent=lead, subsequent_indent=lead
    )


def _flow(part: BaseModel, name: str, field: FieldInfo) -> str:
    """A value on one line, as JSON, which is YAML. Of list entries only what differs from the default is written."""
    document = part.model_dump(mode="json", by_alias=True, include={name}, exclude_defaults=False)
    value = document[field.alias or name]
    if name == "packs":
        value = [pack.model_dump(mode="json", exclude_unset=True) for pack in getattr(part, name)]
    return json.dumps(value)
