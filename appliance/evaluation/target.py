"""What a suite is put to: a way to answer, as it is named on the command line. Pure.

`auto`, `auto:STRATEGY`, `auto@EFFORT`, `MODEL`, and `self-consistency:MODEL@N` (a majority among N samples).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.domain.request import Effort
from appliance.errors import ConfigError

MAJORITY = "self-consistency"
SAMPLE_TEMPERATURE = 0.8
"""Of the samples that a majority is taken of, unless the run says another; a single answer is greedy."""
MOST_SAMPLES = 256

_FORM = re.compile(
    r"^(?:(?P<majority>self-consistency):)?(?P<model>[a-z0-9][a-z0-9._-]*)(?::(?P<strategy>[a-z0-9._-]+))?"
    r"(?:@(?P<at>[a-z0-9]+))?$"
)


@dataclass(frozen=True, slots=True)
class Target:
    """`name` as written. `body` are fields of the request; A majority is taken of `samples` answers."""

    name: str
    model: str
    body: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 1

    @property
    def votes(self) -> bool:
        """Whether a majority is taken."""
        return self.samples > 1


def target_of(text: str, *, virtual_model: str, models: Collection[str]) -> Target:
    """Read one target. Raises ConfigError that says what targets there are."""
    found = _FORM.match(text)
    if found is None:
        raise _unreadable(text, "not the name of a target", models)
    model, at, majority = found["model"], found["at"], found["majority"] is not None
    if model != virtual_model and model not in models:
        raise _unreadable(text, f"{model} is neither {virtual_model} nor a model of the pool", models)
    if majority:
        if not (at or "").isdecimal() or not 2 <= int(at) <= MOST_SAMPLES:
            raise _unreadable(text, f"say how many samples, 2 to {MOST_SAMPLES}", models)
        return Target(text, model, {"temperature": SAMPLE_TEMPERATURE, **_choice(text, found, models)}, int(at))
    body = {**_choice(text, found, models)}
    if model != virtual_model:
        if at is not None:
            raise _unreadable(text, f"@ after a model stands with {MAJORITY}: only", models)
        return Target(text, model, {"temperature": 0.0})
    if at is not None:
        if at not in set(Effort):
            raise _unreadable(text, f"an effort is one of {', '.join(Effort)}", models)
        body["effort"] = at
    return Target(text, model, body)


def targets_of(text: str, *, virtual_model: str, models: Collection[str]) -> tuple[Target, ...]:
    """A comma-separated list of them, each once."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise _unreadable(text, "no target is named", models)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _unreadable(text, f"{twice} stands twice", models)
    return tuple(target_of(name, virtual_model=virtual_model, models=models) for name in names)


def _choice(text: str, found: re.Match[str], models: Collection[str]) -> dict[str, Any]:
    if found["strategy"] is None:
        return {}
    if found["model"] in models:
        raise _unreadable(text, "a strategy stands after the virtual model only", models)
    return {"strategy": found["strategy"]}


def _unreadable(text: str, reason: str, models: Collection[str]) -> ConfigError:
    return ConfigError(
        f"--targets {text}: {reason}; targets are auto, auto:STRATEGY, auto@EFFORT, a model ({', '.join(models)}), "
        f"or {MAJORITY}:MODEL@SAMPLES"
    )
