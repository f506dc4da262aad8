"""The report of a run as one HTML page that loads nothing."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from appliance.evaluation.comparison import EVERYTHING, MARGIN, Comparison, Row
from appliance.evaluation.report.plot import Point, quality_against_cost
from appliance.evaluation.run_file import Run
from appliance.plots.style import style

_pages = Environment(
    loader=PackageLoader("appliance.evaluation.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(run: Run, comparison: Comparison, *, gpu_hour_price: float | None = None) -> str:
    """The whole document. `gpu_hour_price` adds money per task."""
    classes: dict[str, list[Row]] = {}
    for row in comparison.rows:
        classes.setdefault(row.task_class, []).append(row)
    everything = classes.setdefault(EVERYTHING, [])
    points = [
        Point(r.target, r.gpu_s, r.quality.mean, r.quality.low, r.quality.high, r.orchestrated) for r in everything
    ]
    notes = list(comparison.notes)
    if comparison.judge_agreement is not None:
        notes.append(f"The judge said the same in both orders for {comparison.judge_agreement:.0%} of the answers.")
    return _pages.get_template("page.html.j2").render(
        style=style(),
        run=run,
        comparison=comparison,
        classes=classes,
        everything=EVERYTHING,
        totals={"tasks": max((row.tasks for row in everything), default=0)},
        roles=list(dict.fromkeys(role for row in everything for role in row.cost.calls_by_role)),
        plot=quality_against_cost(points),
        price=gpu_hour_price,
        notes=notes,
        margin=f"{100 * MARGIN:g}",
    )
