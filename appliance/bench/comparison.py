"""Two runs side by side: the ratio of each figure with an interval, and the gates that it has to pass. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from appliance.bench.metrics import Figures, Values, figures, is_good, values_of
from appliance.bench.objective import METRICS, STATISTICS, Figure, Objective, figure_of
from appliance.bench.records import RequestRecord

RESAMPLES: Final = 1_000
THROUGHPUTS: Final = ("request_throughput_per_s", "output_token_throughput_per_s", "goodput_per_s")
SHOWN: Final = tuple(
    Figure(metric, statistic) for metric in METRICS if metric != "icl" for statistic in ("mean", "p50", "p95", "p99")
)
_GATE: Final = re.compile(r"(?P<name>[a-z0-9_]+)\s*(?P<sign><=|>=)\s*(?P<bound>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Ratio:
    """Second ÷ first, with its 95% interval (percentile bootstrap over requests).

    The ends are None for rates of whole runs, and where a draw of the first run would have been 0.
    """

    name: str
    first: float
    second: float
    low: float | None
    high: float | None

    @property
    def value(self) -> float:
        """The ratio."""
        return self.second / self.first

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        shown = {"first": self.first, "second": self.second, "ratio": self.value, "low": self.low, "high": self.high}
        return {"figure": self.name, **{key: None if v is None else round(v, 6) for key, v in shown.items()}}


@dataclass(frozen=True, slots=True)
class Gate:
    """A figure's ratio, and what it has to be."""

    name: str
    at_most: bool
    bound: float

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.name}{'<=' if self.at_most else '>='}{self.bound:g}"

    def passes(self, ratio: float) -> bool:
        """Whether it is so."""
        return ratio <= self.bound if self.at_most else ratio >= self.bound


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate and the ratio that it was held against; None where there is none."""

    gate: Gate
    ratio: Ratio | None

    @property
    def passed(self) -> bool:
        """What can't be told is not passed."""
        return self.ratio is not None and self.gate.passes(self.ratio.value)

    @property
    def certain(self) -> bool:
        """Whether the whole interval lies on one side of the bound."""
        ratio = self.ratio
        if ratio is None or ratio.low is None or ratio.high is None:
            return False
        return self.gate.passes(ratio.low) == self.gate.passes(ratio.high)


def gate_of(text: str) -> Gate:
    """Read one gate. Raises ValueError that says how one is written."""
    found = _GATE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'{text!r} is no gate; one is written FIGURE<=RATIO or FIGURE>=RATIO: "e2e_p95_s<=1.05"')
    name = found["name"]
    if name not in THROUGHPUTS:
        try:
            name = figure_of(name).name
        except ValueError as error:
            raise ValueError(f"{error}; or {', '.join(THROUGHPUTS)}") from None
    return Gate(name, found["sign"] == "<=", float(found["bound"]))


def ratios(
    first: Sequence[RequestRecord],
    second: Sequence[RequestRecord],
    *,
    objectives: Sequence[Objective] = (),
    further: Sequence[Figure] = (),
    seed: int = 0,
) -> tuple[Ratio, ...]:
    """Of all figures that both have and that are not 0 in the first; `further` ones beside those always shown."""
    both = figures(first, objectives), figures(second, objectives)
    found = []
    for figure in dict.fromkeys((*SHOWN, *further)):
        one, other = both[0].value(figure), both[1].value(figure)
        if one and other is not None:
            low, high = _interval(figure, first, second, seed)
            found.append(Ratio(figure.name, one, other, low, high))
    return (*found, *_rates(both, first, second, objectives, seed))


def judged(gates: Sequence[Gate], found: Sequence[Ratio]) -> tuple[Judged, ...]:
    """Each gate with its ratio."""
    by_name = {ratio.name: ratio for ratio in found}
    return tuple(Judged(gate, by_name.get(gate.name)) for gate in gates)


def _rates(
    both: tuple[Figures, Figures],
    first: Sequence[RequestRecord],
    second: Sequence[RequestRecord],
    objectives: Sequence[Objective],
    seed: int,
) -> list[Ratio]:
    """Rates of whole runs. The share of good answers can be drawn anew, the time that they took can't."""
    found = []
    for name in THROUGHPUTS:
        one, other = (float(getattr(side, name)) for side in both)
        low = high = None
        if name == "goodput_per_s" and one and other:
            shares = [np.asarray([is_good(r, objectives) for r in side], dtype=np.float64) for side in (first, second)]
            low, high = _bootstrap(shares[0], shares[1], lambda drawn: drawn.mean(axis=1), seed)
            if low is not None and high is not None:
                pace = (other / one) / (shares[1].mean() / shares[0].mean())
                low, high = low * pace, high * pace
        if one:
            found.append(Ratio(name, one, other, low, high))
    return found


def _interval(
    figure: Figure, first: Sequence[RequestRecord], second: Sequence[RequestRecord], seed: int
) -> tuple[float | None, float | None]:
    sides = [values_of(figure.metric, [r for r in side if r.ok]) for side in (first, second)]

    def statistic(drawn: Values) -> Values:
        if figure.statistic == "mean":
            return np.asarray(drawn.mean(axis=1))
        return np.asarray(np.percentile(drawn, float(figure.statistic[1:]), axis=1))

    assert figure.statistic in STATISTICS
    return _bootstrap(sides[0], sides[1], statistic, seed)


def _bootstrap(
    first: Values, second: Values, statistic: Callable[[Values], Values], seed: int
) -> tuple[float | None, float | None]:
    """Ends of the interval of the ratio; a resample at a time would be slow, all at once large: in parts."""
    chance, found = np.random.default_rng(seed), []
    at_once = max(1, min(RESAMPLES, 2_000_000 // max(1, len(first), len(second))))
    for start in range(0, RESAMPLES, at_once):
        number = min(at_once, RESAMPLES - start)
        one, other = (
            statistic(side[chance.integers(0, len(side), size=(number, len(side)))]) for side in (first, second)
        )
        if not one.all():
            return None, None
        found.append(other / one)
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)
