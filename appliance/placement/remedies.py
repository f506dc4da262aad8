"""Why nothing fits, and the smallest changes that would make it fit; each of them was tried before it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from appliance.domain.model import Role
from appliance.domain.placement import Unplaceable
from appliance.placement.candidates import Candidate
from appliance.placement.prepared import Prepared, prepare
from appliance.placement.problem import Problem, Wanted

GIB = 2**30
SHORTEST_LEN = 2048
FP8, DROP = 100, 200
"""Weights of changes; shorter lengths weigh less than either."""
CHECKS = 60
"""So many changes are tried at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change in words, and the problem after it. `weight` orders changes: the smaller the milder."""

    words: str
    weight: int
    apply: Callable[[Problem], Problem]


def unplaceable(problem: Problem, fits: Callable[[Problem], bool]) -> Unplaceable:
    """The reasons: models that fit nowhere, or by how much all together are too large; and ways out that were tried."""
    prepared = prepare(problem)
    barred = [reason for wanted in problem.models if (reason := _barred(prepared, wanted))]
    if barred:
        return Unplaceable(tuple(barred))
    short = [reason for index in range(len(problem.models)) if (reason := _too_large(prepared, index))]
    said = short or [_together(prepared)]
    ways = _ways_out(problem, fits)
    if ways:
        return Unplaceable((*said, "each of these makes it fit: " + "; or ".join(ways)))
    return Unplaceable(
        (*said, "neither shorter lengths nor fp8 nor fewer models make it fit; take models out of the pool or add GPUs")
    )


def without(problem: Problem, model_id: str) -> Problem:
    """The problem with one model less."""
    roles = {role: tuple(m for m in models if m != model_id) for role, models in problem.roles.items()}
    return replace(problem, models=tuple(w for w in problem.models if w.model_id != model_id), roles=roles)


def _barred(prepared: Prepared, wanted: Wanted) -> str | None:
    """What keeps a model from every GPU that is not memory."""
    problem, name = prepared.problem, wanted.model_id
    if wanted.model.geometry is None:
        return f"{name}: its manifest has no geometry (config), so its memory is unknown; add the keys of config.json"
    licences = problem.constraints.licences
    if licences and wanted.model.licence not in licences:
        allowed_ones = ", ".join(sorted(licences))
        return f"{name}: licence {wanted.model.licence} is not among {allowed_ones}; allow it, or take the model out"
    if wanted.data_class and not any(wanted.data_class in node.data_classes for node in problem.nodes):
        return (
            f"{name}: no node may process data of class {wanted.data_class}; declare it at a node, or change the class"
        )
    index = problem.models.index(wanted)
    limits = prepared.packing.models[index]
    kinds = {kind for model, kind in prepared.candidates if model == index}
    allowed = [
        slot for number, slot in enumerate(prepared.floor.slots) if limits.slots is None or number in limits.slots
    ]
    if not any(slot.kind in kinds for slot in allowed):
        sizes = ", ".join(map(str, wanted.tensor_parallel_sizes))
        return (
            f"{name}: no block of GPUs that it may take has a size that it runs on "
            f"(tensor_parallel_sizes {sizes}, its pins, its attention heads)"
        )
    return None


def _too_large(prepared: Prepared, index: int) -> str | None:
    """By how much a model is too large for every slot, even when it is alone."""
    best = min(_least(prepared, index), default=None, key=lambda pair: pair[0])
    if best is None or best[0] <= 0:
        return None
    missing, found = best
    device = found.kind.device
    ranks = f"{found.kind.size}× {device.accelerator.name}" if found.kind.size > 1 else device.accelerator.name
    needed = found.memory.total_bytes(found.least_kv_bytes)
    longest = found.memory.layout.longest_request(
        found.least_kv_bytes - missing, 2 * found.memory.step_tokens, found.wanted.max_model_len
    )
    shorter = f"; with max_model_len {longest} it would fit alone" if longest >= SHORTEST_LEN else ""
    weights, kv = found.memory.promised_weights_bytes / GIB, found.least_kv_bytes / GIB
    return (
        f"{found.wanted.model_id}: {missing / GIB:.1f} GiB short on any GPU: at best {needed / GIB:.1f} GiB are needed "
        f"of each {ranks}, and {(needed - missing) / GIB:.1f} GiB are free (weights {weights:.1f}, KV cache for one "
        f"request of {found.wanted.max_model_len} tokens {kv:.1f}){shorter}"
    )


def _least(prepared: Prepared, index: int) -> Iterator[tuple[int, Candidate]]:
    """What is missing (negative: left) in each slot that the model may take."""
    limits = prepared.packing.models[index]
    for number, slot in enumerate(prepared.floor.slots):
        found = prepared.candidates.get((index, slot.kind))
        if found is not None and (limits.slots is None or number in limits.slots):
            room = min(prepared.floor.devices[device].room_bytes for device in slot.devices)
            yield found.memory.total_bytes(found.least_kv_bytes) - room, found


def _together(prepared: Prepared) -> str:
    """Each fits alone, all do not: by how much, if the sum says so."""
    needed = 0
    for index, wanted in enumerate(prepared.problem.models):
        sizes = [
            found.memory.total_bytes(found.least_kv_bytes) * found.kind.size
            for (model, _), found in prepared.candidates.items()
            if model == index
        ]
        needed += min(sizes) * max(1, wanted.replicas_min)
    room = sum(device.room_bytes for device in prepared.floor.devices)
    if needed > room:
        return (
            f"the models together are {(needed - room) / GIB:.1f} GiB short: they need {needed / GIB:.1f} GiB with the "
            f"smallest KV caches, and the GPUs have {room / GIB:.1f} GiB"
        )
    return (
        f"each model fits alone and {needed / GIB:.1f} GiB in sum are less than the {room / GIB:.1f} GiB of the GPUs, "
        "but they don't fit side by side (sizes, pins, forbidden pairs)"
    )


def _ways_out(problem: Problem, fits: Callable[[Problem], bool]) -> list[str]:
    """Single changes that help; where there is none, pairs of them. The mildest way for each model."""
    changes = sorted(_changes(problem), key=lambda change: change.weight)
    singles: dict[str, str] = {}
    for change in changes[:CHECKS]:
        model = change.words.split(" ")[1]
        if f"{change.weight // 100}{model}" not in singles and fits(change.apply(problem)):
            singles[f"{change.weight // 100}{model}"] = change.words
    if singles:
        return list(singles.values())
    pairs = [(a, b) for a, b in combinations(changes, 2) if b.weight >= FP8 and _go_together(a, b)]
    for first, second in sorted(pairs, key=lambda pair: pair[0].weight + pair[1].weight)[:CHECKS]:
        if fits(second.apply(first.apply(problem))):
            return [f"{first.words} and {second.words}"]
    return [way for kind in (FP8, DROP) if (way := _many(problem, fits, changes, kind))]


def _go_together(first: Change, second: Change) -> bool:
    """Not two changes of one kind to one model, and none to a model that is dropped."""
    if first.words.split(" ")[1] != second.words.split(" ")[1]:
        return True
    return first.weight < FP8 <= second.weight < DROP


def _many(problem: Problem, fits: Callable[[Problem], bool], changes: Sequence[Change], kind: int) -> str:
    """As many changes of one kind as it takes, the largest models first."""
    sizes = {wanted.model_id: wanted.model.parameters for wanted in problem.models}
    same = [change for change in changes if change.weight // 100 == kind // 100]
    words = []
    for change in sorted(same, key=lambda change: -sizes[change.words.split(" ")[1]]):
        problem = change.apply(problem)
        words.append(change.words)
        if fits(problem):
            return " and ".join(words)
    return ""


def _changes(problem: Problem) -> Iterator[Change]:
    """Shorter lengths first (0..), then fp8 (100..), then taking a model out (200..)."""
    for index, wanted in enumerate(problem.models):
        name = wanted.model_id
        length = wanted.max_model_len // 2
        while length >= SHORTEST_LEN:
            apply = _changed(name, max_model_len=length, least_kv_bytes=0)
            yield Change(f"shorten {name} to max_model_len {length}", min(99, wanted.max_model_len // length), apply)
            length //= 2
        if wanted.quantization is None and wanted.model.quantization is None:
            yield Change(f"quantise {name} to fp8", FP8 + index, _changed(name, quantization="fp8"))
        heirs = _heirs(problem, wanted)
        if heirs is not None and len(problem.models) > 1:
            told = "".join(f", {heir} takes {role}" for role, heir in heirs.items())
            yield Change(f"drop {name}{told and ' (' + told[2:] + ')'}", DROP + index, _drop(name, heirs))


def _heirs(problem: Problem, wanted: Wanted) -> dict[str, str] | None:
    """For each role that only this model plays another one of the pool that can; None where one has no heir."""
    heirs = {}
    for role, models in problem.roles.items():
        if models != (wanted.model_id,):
            continue
        wants = Role.EXECUTOR.value if role.startswith("executors") else role
        able = [w for w in problem.models if w is not wanted and wants in {r.value for r in w.model.roles}]
        if not able:
            return None
        skill = role.removeprefix("executors.")
        heirs[role] = max(able, key=lambda w: (w.model.skills.get(skill, 0.0), w.model_id)).model_id
    return heirs


def _changed(name: str, **fields: Any) -> Callable[[Problem], Problem]:
    def apply(problem: Problem) -> Problem:
        models = (replace(w, **fields) if w.model_id == name else w for w in problem.models)
        return replace(problem, models=tuple(models))

    return apply


def _drop(name: str, heirs: Mapping[str, str]) -> Callable[[Problem], Problem]:
    def apply(problem: Problem) -> Problem:
        smaller = without(problem, name)
        roles = {role: models or (heirs[role],) for role, models in smaller.roles.items() if models or role in heirs}
        return replace(smaller, roles=roles)

    return apply
