"""What is advised: a short list of options, why the others are not on it, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from appliance.capacity.hardware import GpuKind
from appliance.capacity.option import Option, by_price, detailed
from appliance.capacity.sensitivity import Swing, sensitivity
from appliance.capacity.sizing import MARGIN, Question, Sized, TooSmall, smallest
from appliance.capacity.slo import Objective
from appliance.capacity.team import Team
from appliance.capacity.typical import Typical, typical
from appliance.errors import ConfigError

MOST_OPTIONS: Final = 5
LEAST_OPTIONS: Final = 2
BETTER: Final = 0.01
"""A quality that is so much higher is worth another option."""
FASTER: Final = 0.8
"""So is a latency that is at most this part of the other one's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A team on a kind of GPU that is not advised, and why."""

    team: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Advice:
    """`options` from the cheapest on; the first is the advice, of which `sensitivity` and `typical` are.

    `sources` say where the figures come from.
    """

    question: Question
    options: tuple[Option, ...]
    left_out: tuple[LeftOut, ...]
    sensitivity: tuple[Swing, ...]
    typical: Typical
    sources: tuple[str, ...]


def advise(
    teams: Sequence[Team],
    kinds: Sequence[GpuKind],
    question: Question,
    *,
    quality_floor: float | None = None,
    left_out: Sequence[LeftOut] = (),
    mapped: Any = map,
) -> Advice:
    """`left_out` are teams that could not even be made. `mapped` is `map`, or one that uses several processes.

    Raises ConfigError where no candidate holds the objectives, with what would.
    """
    good, poor = _good_enough(teams, quality_floor)
    tried = list(mapped(_Sizing(question), [(team, kind) for team in good for kind in kinds]))
    sized = [found for found in tried if isinstance(found, Sized)]
    too_small = [found for found in tried if isinstance(found, TooSmall)]
    if not sized:
        raise ConfigError(_unmet(too_small, poor, question))
    chosen, beaten = short_list(sized, question)
    options = tuple(mapped(_Detailing(question), chosen))
    first = options[0]
    return Advice(
        question=question,
        options=options,
        left_out=(
            *left_out,
            *poor,
            *(LeftOut(t.team.name, t.kind.kind, _too_slow(t, question)) for t in too_small),
            *beaten,
        ),
        sensitivity=sensitivity(first.layout, question, mapped),
        typical=typical(first.layout, question),
        sources=_sources(options, teams, question),
    )


@dataclass(frozen=True, slots=True)
class _Sizing:
    question: Question

    def __call__(self, candidate: tuple[Team, GpuKind]) -> Sized | TooSmall:
        return smallest(*candidate, self.question)


@dataclass(frozen=True, slots=True)
class _Detailing:
    question: Question

    def __call__(self, sized: Sized) -> Option:
        return detailed(sized, self.question)


def short_list(sized: Sequence[Sized], question: Question) -> tuple[list[Sized], list[LeftOut]]:
    """Cheapest first, each clearly better in something than all before it; at least two where there are, at most five.

    What nobody measured is not compared: teams of unknown quality stand beside each other.
    """
    ordered = by_price(sized)
    chosen: list[Sized] = []
    for one in ordered:
        if all(_adds(one, other, question) for other in chosen) and len(chosen) < MOST_OPTIONS:
            chosen.append(one)
    spare = [one for one in ordered if one not in chosen]
    chosen = by_price([*chosen, *spare[: max(0, LEAST_OPTIONS - len(chosen))]])
    beaten = [
        LeftOut(
            one.layout.team.name,
            one.layout.kind.kind,
            f"{one.layout.gpus} GPUs hold the load at {one.layout.price_per_hour:.3g} per hour, but they are neither "
            "cheaper nor clearly better than what is advised",
        )
        for one in ordered
        if one not in chosen
    ]
    return chosen, beaten


def _adds(one: Sized, other: Sized, question: Question) -> bool:
    """Whether `one` gives something that the cheaper `other` does not: quality, or much less waiting."""
    mine, its = one.layout.team.quality, other.layout.team.quality
    if one.layout.team.name != other.layout.team.name and (mine is None or its is None):
        return True
    if mine is not None and its is not None and mine.score.mean > its.score.mean + BETTER:
        return True
    objective = question.objectives[0]
    return one.prediction.estimate(objective).mean < FASTER * other.prediction.estimate(objective).mean


def _good_enough(teams: Sequence[Team], floor: float | None) -> tuple[list[Team], list[LeftOut]]:
    if floor is None:
        return list(teams), []
    good, poor = [], []
    for team in teams:
        if team.quality is None:
            poor.append(LeftOut(team.name, "", team.quality_missing))
        elif team.quality.score.mean < floor:
            score = team.quality.score
            words = (
                f"its quality is {score.mean:.3g} ({score.low:.3g} to {score.high:.3g}), below the floor of {floor:g}"
            )
            poor.append(LeftOut(team.name, "", words))
        else:
            good.append(team)
    return good, poor


def _too_slow(found: TooSmall, question: Question) -> str:
    """Why a team can't be advised on a kind of GPU: by how much it misses which objective."""
    if found.unloaded is None:
        return found.reason
    missed = [_missed(o, value) for o, value in _unloaded(found, question) if value > o.limit_s * (1 - MARGIN)]
    return f"{found.reason}: {'; '.join(missed)}" if missed else found.reason


def _missed(objective: Objective, value: float) -> str:
    over = value - objective.limit_s
    if over > 0:
        return f"{objective.name} {value:.3g} s, {over:.3g} s over the limit of {objective.limit_s:g} s"
    return (
        f"{objective.name} {value:.3g} s, which leaves less than {MARGIN:.0%} of the limit of {objective.limit_s:g} s"
    )


def _unloaded(found: TooSmall, question: Question) -> list[tuple[Objective, float]]:
    assert found.unloaded is not None
    return [(o, found.unloaded.estimate(o).mean) for o in question.objectives]


def _unmet(too_small: Sequence[TooSmall], poor: Sequence[LeftOut], question: Question) -> str:
    """One sentence: what misses, by how much, and what would be met."""
    if not too_small:
        return f"no candidate is good enough: {'; '.join(f'{one.team}: {one.reason}' for one in poor)}"
    slo = ",".join(str(objective) for objective in question.objectives)
    able = [t for t in too_small if t.unloaded is not None and not _misses(t, question)]
    if able:
        names = " and ".join(f"{t.team.name} on {t.kind.kind}" for t in able)
        return (
            f"--slo {slo}: {names} would hold it, but with more than {question.most_gpus} GPUs; raise --max-gpus, or "
            "name a faster kind with --gpus"
        )
    seen = [t for t in too_small if t.unloaded is not None]
    if not seen:
        return f"no candidate fits: {'; '.join(f'{t.team.name} on {t.kind.kind}: {t.reason}' for t in too_small)}"
    best = min(seen, key=lambda t: max(value / o.limit_s for o, value in _unloaded(t, question)))
    reachable = ",".join(
        str(Objective(o.metric, o.percentile, max(o.limit_s, ceil(10 * value / (1 - 3 * MARGIN)) / 10)))
        for o, value in _unloaded(best, question)
    )
    return (
        f"--slo {slo} can't be met by any candidate; the nearest is {best.team.name} on {best.kind.kind}: "
        f"{_too_slow(best, question)}; --slo {reachable} could be met with it"
    )


def _misses(found: TooSmall, question: Question) -> bool:
    return any(value > o.limit_s * (1 - MARGIN) for o, value in _unloaded(found, question))


def _sources(options: Sequence[Option], teams: Sequence[Team], question: Question) -> tuple[str, ...]:
    """Where figures come from, and how far to trust them."""
    lines = [f"load: {question.load.words}"]
    lines += [f"assumed: {line}" for line in question.load.assumed]
    lines += [f"requests of {team.name}: {team.trees_from}" for team in teams]
    for option in options:
        layout = option.layout
        kinds = dict.fromkeys((p.profile.model_id, p.profile.source, p.profile.step.band) for p in layout.places)
        said = ", ".join(f"{model} {source} ±{band:.0%}" for model, source, band in kinds)
        lines.append(f"speed of {layout.team.name} on {layout.kind.kind}: {said}")
    for option in options:
        lines.append(f"price of {option.layout.kind.kind}: {option.expense.money_source}")
        lines.append(f"energy of {option.layout.kind.kind}: {option.expense.energy_source}")
    if any(option.layout.team.quality is None for option in options):
        lines.append("quality: not measured for all, so options are in order of price alone; --eval RUN brings it in")
    lines += dict.fromkeys(f"quality of {t.name}: {t.quality.source}" for t in teams if t.quality is not None)
    lines.append(
        "latencies: simulated under several seeds; the band goes from the fast to the slow end of the engines' band, "
        f"and a pool is sized as expected with {MARGIN:.0%} of each limit kept free"
    )
    return tuple(dict.fromkeys(lines))
