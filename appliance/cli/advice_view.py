"""An advice in the terminal: the options, what to know of each, why others are not there, and the sources."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.capacity.advice import Advice, LeftOut
from appliance.capacity.expense import Band
from appliance.capacity.option import Option
from appliance.plots.frame import plain


def advice_view(advice: Advice) -> RenderableType:
    """All of it."""
    question = advice.question
    slo = ", ".join(str(objective) for objective in question.objectives)
    parts: list[RenderableType] = [Text(question.load.words), Text(f"to hold: {slo}"), Text(), _options(advice)]
    parts.append(Text("latencies are in seconds: as expected (fast end – slow end of what is known)", "dim"))
    if any(option.layout.team.quality is None for option in advice.options):
        parts.append(
            Text("quality was not measured for all of them, so price alone decides the order; give --eval RUN")
        )
    parts.append(Text())
    for number, option in enumerate(advice.options, 1):
        parts += _remarks(number, option)
    if advice.left_out:
        parts += [Text(), Text("Not advised", "bold"), *_left_out(advice.left_out)]
    parts += [Text(), _sensitivity(advice), Text(), Text("Sources", "bold")]
    parts += [Text(f"  - {line}") for line in advice.sources]
    return Group(*parts)


def span(band: Band) -> str:
    """A figure with its band."""
    return f"{plain(band.expected)} ({plain(band.low)} – {plain(band.high)})"


def headroom(option: Option, rate_per_s: float) -> str:
    """By how much the rate may grow, and by how much it surely may not."""
    held, missed = option.headroom(rate_per_s)
    return f"{held:+.0%} or more" if missed is None else f"{held:+.0%} – {missed:+.0%}"


def _options(advice: Advice) -> Table:
    table = Table(box=None, pad_edge=False)
    names = list(advice.options[0].latency)
    headings = ("", "GPUs", "team", *names, "headroom", "per 1,000 requests", "Wh", "quality")
    for heading in headings:
        table.add_column(heading, header_style="dim", justify="left" if heading == "team" else "right", overflow="fold")
    for number, option in enumerate(advice.options, 1):
        layout, quality = option.layout, option.layout.team.quality
        table.add_row(
            f"{number}.",
            f"{layout.gpus} × {layout.kind.kind}",
            layout.team.name,
            *(span(band) for band in option.latency.values()),
            headroom(option, advice.question.load.rate_per_s),
            plain(option.expense.money),
            span(option.expense.energy_wh),
            "not measured" if quality is None else _score(quality.score.mean, quality.score.low, quality.score.high),
            style="bold" if number == 1 else "",
        )
    return table


def _score(mean: float, low: float, high: float) -> str:
    return f"{mean:.1%} ({low:.1%} – {high:.1%})"


def _remarks(number: int, option: Option) -> Iterable[Text]:
    layout = option.layout
    placed = sorted(layout.plan.engines, key=lambda engine: engine.engine_id)
    engines = ", ".join(f"{engine.model_id} on {len(engine.gpu_ids)}" for engine in placed)
    yield Text.assemble((f"{number}. ", "bold"), f"engines, each on so many GPUs: {engines}")
    missed = "" if option.missed_per_s is None else f", surely not {plain(option.missed_per_s)}"
    yield Text(f"   holds {plain(option.highest_per_s)} requests/s{missed}; then {option.bottleneck}")
    yield Text(f"   without its fullest node: {option.loss.words}")
    yield Text(f"   {certainty(option)}")


def certainty(option: Option) -> str:
    """What the band of the engines means for the advice."""
    layout = option.layout
    if option.holds_at_worst:
        return f"holds even at the slow end of the engines' band (±{layout.band:.0%})"
    measure = f"; measure {', '.join(layout.unmeasured)} with `appliance capacity profile`" if layout.unmeasured else ""
    if option.safe_gpus is None:
        return f"at the slow end of the engines' band (±{layout.band:.0%}) no number of GPUs holds it{measure}"
    return f"at the slow end of the engines' band (±{layout.band:.0%}) it takes {option.safe_gpus} GPUs{measure}"


def _left_out(left_out: Iterable[LeftOut]) -> Iterable[Text]:
    for one in left_out:
        yield Text(f"  - {one.team}{f' on {one.kind}' if one.kind else ''}: {one.reason}")


def _sensitivity(advice: Advice) -> Table:
    objective = advice.question.objectives[0]
    table = Table(box=None, pad_edge=False, title=f"{objective.name} of option 1, where an assumption is wrong")
    table.title_justify, table.title_style = "left", "bold"
    for heading in ("", "lower", "", "higher", ""):
        table.add_column(heading, header_style="dim", justify="left")
    for swing in advice.sensitivity:
        table.add_row(
            swing.name,
            f"{swing.low_label}: {plain(swing.low_s)} s",
            "holds" if swing.low_holds else "does not hold",
            f"{swing.high_label}: {plain(swing.high_s)} s",
            "holds" if swing.high_holds else "does not hold",
        )
    return table
