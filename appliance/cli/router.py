"""`appliance router`: train a head on runs of a suite, let the gate judge it, promote it, roll it back, ask it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from appliance.bootstrap.learned_head import check_embedder, heads_directory, pool_digest, strangeness
from appliance.bootstrap.pool import pool_models
from appliance.cli.connection import Connection, locate
from appliance.cli.door import RUNTIME_FAILURE, complain
from appliance.cli.options import ConfigOption, JsonOption, KeyFileOption, UrlOption, settings_of
from appliance.config import Settings
from appliance.errors import ConfigError, EngineUnavailable
from appliance.evaluation.run_file import read_run
from appliance.evaluation.suite import load_suite

if TYPE_CHECKING:
    from appliance.bootstrap.router_heads import HeadFiles, KeptHead
    from appliance.learning.examples import Examples

commands = typer.Typer(help="The learned router: a small head that chooses how to answer.", no_args_is_help=True)

HeadOption = Annotated[str | None, typer.Option("--head", help="Id of a head. Default: the newest candidate.")]
_HELD_OUT = 0.3
_AT_ONCE = 32
"""Texts of one call for embeddings."""


@commands.command()
def train(
    run_file: Annotated[Path, typer.Option("--from", help="Run of a suite under auto:STRATEGY targets.")],
    suite_file: Annotated[Path, typer.Option("--suite", help="The suite of that run.")],
    held_out_run: Annotated[
        Path | None, typer.Option(help="Run on held-out tasks. Default: a part of the other.")
    ] = None,
    held_out_suite: Annotated[Path | None, typer.Option(help="The suite of that run.")] = None,
    worth: Annotated[
        float | None, typer.Option("--gpu-second-worth", min=0, help="In quality. Default: dearest strategy costs 0.1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    generations: Annotated[int, typer.Option(min=0, max=10_000, help="Of the evolution; 0: regression alone.")] = 150,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Train a head on what was logged, and let the gate judge it; exit code 1 where the gate does not open.

    With `coordinator.learned.embedder` the running appliance embeds the prompts; else no appliance is needed.
    """
    from appliance.bootstrap.router_heads import HeadFiles
    from appliance.learning.examples import usual_worth
    from appliance.learning.features import HASHED, SIZE
    from appliance.learning.features import VERSION as FEATURES
    from appliance.learning.head import Card
    from appliance.learning.promotion import Answer, ruling
    from appliance.learning.train import train as train_head

    settings = settings_of(config)
    models = pool_models(settings)
    training, held_out, notes = _examples(
        run_file, suite_file, held_out_run, held_out_suite, settings.coordinator.virtual_model
    )
    embedder = settings.coordinator.learned.embedder or ""
    if embedder:
        check_embedder(settings, models)
        connection = locate(config, url, key_file)
        training, held_out = (_with_embeddings(connection, embedder, part) for part in (training, held_out))
    worth = usual_worth(training) if worth is None else worth
    trained = train_head(training, worth, seed=seed, generations=generations)
    judged = ruling(trained.head, held_out, worth, training_tasks=len(training.items), evidence=trained.evidence)
    card = Card(
        version=1,
        features=FEATURES,
        arms=training.arms,
        pool=pool_digest(models),
        pool_models=tuple(models),
        training_digest=training.digest,
        training_tasks=len(training.items),
        gpu_second_worth=worth,
        seed=seed,
        made_unix_s=time.time(),
        embedder=embedder,
        embedder_revision=models[embedder].revision if embedder else "",
        feature_mean=tuple(map(float, trained.head.mean[HASHED:SIZE])),
        feature_scale=tuple(map(float, trained.head.scale[HASHED:SIZE])),
        metrics=trained.metrics,
        gate=judged.as_document(),
    )
    head_id = HeadFiles(heads_directory(settings)).keep(trained.head, card)
    if as_json:
        typer.echo(json.dumps({"head": head_id, "notes": notes, "gate": card.gate, "training": card.metrics}, indent=2))
    else:
        for note in notes:
            typer.echo(note)
        facts = f"{trained.head.parameters:,} parameters, {len(training.items)} tasks"
        typer.echo(f"head {head_id}: {facts}, {trained.metrics['seconds']:.1f} s")
        _tell(card.gate)
    if judged.answer is not Answer.PROMOTED:
        complain("the gate stays shut: the head is kept as a candidate and decides nothing")
        raise typer.Exit(RUNTIME_FAILURE)
    typer.echo(f"`appliance router promote --head {head_id}` lets it decide", err=True)


@commands.command()
def promote(head: HeadOption = None, config: ConfigOption = None) -> None:
    """Let a head decide from the appliance's next start on; refused where the gate did not open for it."""
    settings, files, kept = _chosen(head, config)
    if kept.card.gate.get("answer") != "promoted":
        reasons = "; ".join(kept.card.gate.get("reasons", ())) or "it was never judged"
        raise ConfigError(f"head {kept.head_id}: the gate did not open for it: {reasons}")
    if (problem := strangeness(settings, pool_models(settings), kept.card)) is not None:
        raise ConfigError(f"head {kept.head_id}: was made for another {problem}; train one for this pool")
    files.promote(kept.head_id)
    typer.echo(f"head {kept.head_id} decides from the next start of the appliance on")


@commands.command()
def rollback(config: ConfigOption = None) -> None:
    """Let the head before the promoted one decide again, or none."""
    standing = _files(config).roll_back()
    typer.echo(f"head {standing.promoted} decides again" if standing.promoted else "no head decides any more")


@commands.command()
def status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Which head decides, which one is the candidate, and what the gate said of them."""
    files = _files(config)
    standing = files.standing()
    heads = {name: getattr(standing, name) for name in ("promoted", "previous", "candidate")}
    cards = {name: files.read(head_id).card.gate for name, head_id in heads.items() if head_id is not None}
    if as_json:
        typer.echo(json.dumps({**heads, "off": standing.off, "gates": cards}, indent=2))
        return
    if not cards:
        typer.echo("no head was trained yet; the rules and cues decide")
    for name, gate in cards.items():
        typer.echo(f"{name}: {heads[name]}")
        _tell(gate)
    if standing.off:
        typer.echo(f"off: {standing.off}")


@commands.command()
def explain(
    prompt: Annotated[str, typer.Argument(help="What would be asked.", show_default=False)],
    head: HeadOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """What a head would choose for a prompt, and what speaks for it."""
    from appliance.learning.features import features

    _, _, kept = _chosen(head, config)
    embedder = kept.card.embedder
    vector = features(prompt, _embeddings(locate(config, url, key_file), embedder, [prompt])[0] if embedder else ())
    choice = kept.head.choose(vector)
    assert choice is not None, "a head has arms"
    ranked = sorted(choice.scores, key=lambda pair: -pair[1])
    for arm, score in ranked:
        typer.echo(f"{arm}: {score:+.3f}")
    if len(ranked) > 1:
        typer.echo(f"\nfor {ranked[0][0]} against {ranked[1][0]}:")
        for name, part in kept.head.explanation(vector, ranked[0][0], ranked[1][0])[:8]:
            typer.echo(f"  {part:+.3f}  {name}")


def _examples(
    run_file: Path, suite_file: Path, held_out_run: Path | None, held_out_suite: Path | None, virtual_model: str
) -> tuple[Examples, Examples, list[str]]:
    """Training and held-out examples, and what is to be said of them."""
    from appliance.evaluation.router_examples import examples_of, halves, without_leaks

    suite = load_suite(suite_file)
    training = examples_of(read_run(run_file), suite, virtual_model)
    if held_out_run is None:
        return *halves(training, _HELD_OUT), ["no held-out run was given: of each class 30% of the tasks are held out"]
    if held_out_suite is None:
        raise ConfigError("--held-out-suite: say which suite the held-out run is of")
    other = load_suite(held_out_suite)
    held_out = examples_of(read_run(held_out_run), other, virtual_model)
    if set(held_out.arms) != set(training.arms):
        raise ConfigError(f"{held_out_run}: has the targets {', '.join(held_out.arms)}, not those of {run_file}")
    cleaned, leaked = without_leaks(training, suite.tasks, other)
    notes = [f"{len(leaked)} training tasks stand in the held-out suite too, or nearly, and were left out"]
    return cleaned, held_out, notes if leaked else []


def _with_embeddings(connection: Connection, embedder: str, examples: Examples) -> Examples:
    vectors = _embeddings(connection, embedder, [item.text for item in examples.items])
    items = tuple(replace(item, embedding=vector) for item, vector in zip(examples.items, vectors, strict=True))
    return replace(examples, items=items)


def _embeddings(connection: Connection, embedder: str, texts: list[str]) -> list[tuple[float, ...]]:
    """Of each text what the head sees of it, through the public door."""
    from appliance.learning.features import part_seen

    vectors: list[tuple[float, ...]] = []
    for start in range(0, len(texts), _AT_ONCE):
        body = {"model": embedder, "input": [part_seen(text) for text in texts[start : start + _AT_ONCE]]}
        with connection.post("/v1/embeddings", body) as reply:
            document = json.load(reply.body)
        try:
            found = sorted(document["data"], key=lambda entry: int(entry["index"]))
            vectors += [tuple(map(float, entry["embedding"])) for entry in found]
        except (KeyError, TypeError, ValueError):
            raise EngineUnavailable(f"{embedder} answered in a shape that is no embedding") from None
    return vectors


def _files(config: Path | None) -> HeadFiles:
    from appliance.bootstrap.router_heads import HeadFiles

    return HeadFiles(heads_directory(settings_of(config)))


def _chosen(head: str | None, config: Path | None) -> tuple[Settings, HeadFiles, KeptHead]:
    files = _files(config)
    head_id = head or files.standing().candidate
    if head_id is None:
        raise ConfigError(f"{files.directory}: no head was trained yet; use `appliance router train`")
    return settings_of(config), files, files.read(head_id)


def _tell(gate: dict[str, Any]) -> None:
    typer.echo(f"  gate: {gate.get('answer', 'not asked')}")
    for reason in gate.get("reasons", ()):
        typer.echo(f"  - {reason}")
