"""`appliance capacity advise`: from users and objectives to a short list of what to buy, and the plan for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console

from appliance.capacity.demand import load_of
from appliance.capacity.hardware import GpuKind, chosen, load_hardware
from appliance.capacity.profile_file import load_profile
from appliance.capacity.slo import parse_slo
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.cli.plan_values import helm_values
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from appliance.bootstrap.advising import Tried
    from appliance.capacity.advice import Advice, LeftOut
    from appliance.capacity.sizing import Question

DEFAULT_GPUS = "l40s,h100"


def advise(
    users: Annotated[float, typer.Option(help="People who ask.")],
    hard_share: Annotated[float, typer.Option(help="Share of the requests that is hard: 0.2 is 20%.")],
    slo: Annotated[str, typer.Option(help="What is to hold: p95<12s, ttft_p95<800ms; several with commas.")],
    gpus: Annotated[str, typer.Option(help="Kinds of GPUs to choose from, with commas.")] = DEFAULT_GPUS,
    growth: Annotated[str, typer.Option(help="Traffic to plan for: 2x is twice today's.")] = "1x",
    requests_per_user: Annotated[
        float | None, typer.Option(help="Requests of a user in the busiest hour. Default: 6.")
    ] = None,
    busy_hours: Annotated[
        float | None, typer.Option(help="A day has as many requests as so many busiest hours. Default: 8.")
    ] = None,
    quality_floor: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least mean score, by --eval; 0.8 is 80%.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--eval", help="Run file of `appliance eval run`, or the JSON of its report.")
    ] = None,
    hard_classes: Annotated[str, typer.Option(help="Classes of the suite's tasks that are hard, with commas.")] = "",
    profile: Annotated[
        Path | None, typer.Option(help="What `appliance capacity profile` measured. Default: reckoned, not measured.")
    ] = None,
    models: Annotated[str, typer.Option(help="Further models of the catalog to try alone, with commas.")] = "",
    hardware: Annotated[
        Path | None, typer.Option(help="Own prices and kinds of GPUs (YAML), as in docs/capacity-planning.md.")
    ] = None,
    max_gpus: Annotated[int, typer.Option(min=1, max=256, help="Most GPUs of an option.")] = 32,
    pick: Annotated[int, typer.Option(min=1, max=5, help="Option that --helm-values is for.")] = 1,
    helm: Annotated[Path | None, typer.Option("--helm-values", help="Write the plan as values for the chart.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report as one HTML page.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say how many GPUs of which kind, with which models, hold the objectives; nothing is started."""
    load = load_of(
        users, hard_share, requests_per_user_hour=requests_per_user, growth=growth, busy_hours_per_day=busy_hours
    )
    objectives = parse_slo(slo)
    kinds = chosen(load_hardware(hardware), _names(gpus, "--gpus"))
    if quality_floor is not None and run is None:
        raise ConfigError("--quality-floor: quality has to be measured; give --eval RUN, made by `appliance eval run`")
    if hard_classes and run is None:
        raise ConfigError("--hard-classes: they are classes of a run's tasks; give --eval RUN")
    settings = settings_of(config)
    # What simulates takes a second to load, which wrong input need not pay.
    from appliance.bootstrap.advising import Evidence, rules_of, teams_of
    from appliance.capacity.advice import LeftOut
    from appliance.capacity.engine_book import EngineBook
    from appliance.capacity.quality_file import load_quality
    from appliance.capacity.sizing import Question

    evidence = Evidence(
        None if profile is None else load_profile(profile),
        str(profile or ""),
        None if run is None else load_quality(run, _names(hard_classes, "--hard-classes") if hard_classes else ()),
    )
    found = teams_of(settings, kinds[0], evidence, hard_share, _names(models, "--models") if models else ())
    tried = [each for each in found if not isinstance(each, LeftOut)]
    question = Question(load, objectives, rules_of(settings), EngineBook(evidence.profile), seed, max_gpus)
    advice = _advised(tried, kinds, question, quality_floor, [each for each in found if isinstance(each, LeftOut)])
    _show(advice, as_json=as_json)
    _write(advice, tried, pick, helm, html)


def _names(text: str, option: str) -> list[str]:
    """Of a comma-separated list, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{option}: names nothing; leave it out, or name some with commas")
    return names


def _advised(
    tried: list[Tried], kinds: tuple[GpuKind, ...], question: Question, floor: float | None, out: list[LeftOut]
) -> Advice:
    from appliance.bootstrap.advising import mapping_over_cores
    from appliance.capacity.advice import advise as best

    with Console(stderr=True).status("placing and simulating"), mapping_over_cores() as mapped:
        return best([each.team for each in tried], kinds, question, quality_floor=floor, left_out=out, mapped=mapped)


def _write(advice: Advice, tried: list[Tried], pick: int, helm: Path | None, html: Path | None) -> None:
    from appliance.bootstrap.advising import wanting

    if pick > len(advice.options):
        raise ConfigError(f"--pick {pick}: there are {len(advice.options)} options; name one of them")
    layout = advice.options[pick - 1].layout
    if helm is not None:
        settings = next(each.settings for each in tried if each.team.name == layout.team.name)
        planned = wanting(settings, advice.question.load.rate_per_s)
        _put(helm, yaml.safe_dump(helm_values(layout.plan, planned), sort_keys=False))
        typer.echo(f"values of option {pick} in {helm}", err=True)
    if html is not None:
        from appliance.capacity.report.page import page

        _put(html, page(advice))
        typer.echo(f"report in {html}", err=True)


def _put(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}; name another file") from None


def _show(advice: Advice, *, as_json: bool) -> None:
    from appliance.capacity.advice_document import as_document
    from appliance.cli.advice_view import advice_view

    if as_json:
        typer.echo(json.dumps(as_document(advice), indent=2))
    else:
        Console().print(advice_view(advice), highlight=False)
