"""Compares five ways to answer the held-out suite: the generalist's three and the team's two."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.starter.formats import ANSWER_ONLY, final_answer
from models.starter.measures import mcnemar, share
from models.starter.orchestration import Run, Team, orchestrate, plan_all
from models.starter.sampling import Completion, Sampler
from models.starter.suite import STEPS, SUITE

VOTES = 5
VOTE_TEMPERATURE = 0.7


@dataclass(slots=True)
class Row:
    """One way: whether each problem came out right, and what it cost."""

    hits: list[bool]
    tokens: list[int]
    prompt_tokens: list[int]
    extra: dict[str, object] = field(default_factory=dict)


def read_suite(kind: str = "steps") -> list[dict[str, str]]:
    """The suite's problems (`steps`) or its direct prompts (`direct`)."""
    rows = [json.loads(line) for line in SUITE.read_text().splitlines()]
    return [row for row in rows if row["class"].startswith(kind)]


def row_of(completions: Sequence[Completion], answers: Sequence[str]) -> Row:
    """One pass of the generalist."""
    hits = [final_answer(c.text) == a for c, a in zip(completions, answers, strict=True)]
    return Row(hits, [c.tokens for c in completions], [c.prompt_tokens for c in completions])


def majority(samples: Sequence[Sequence[Completion]], answers: Sequence[str]) -> Row:
    """Self-consistency: the answer that most samples agree on, the first of them where equal."""
    hits, tokens, prompt_tokens = [], [], []
    for completions, answer in zip(zip(*samples, strict=True), answers, strict=True):
        votes = Counter(final_answer(c.text) for c in completions)
        hits.append(votes.most_common(1)[0][0] == answer)
        tokens.append(sum(c.tokens for c in completions))
        prompt_tokens.append(sum(c.prompt_tokens for c in completions))
    return Row(hits, tokens, prompt_tokens)


def row_of_runs(runs: Sequence[Run], answers: Sequence[str]) -> Row:
    """One way of the team."""
    return Row(
        [run.answer == answer for run, answer in zip(runs, answers, strict=True)],
        [run.tokens for run in runs],
        [run.prompt_tokens for run in runs],
        {"calls": sum(r.calls for r in runs) / len(runs), "repairs": sum(r.repairs for r in runs)},
    )


def compare(team: Team, generalist: Sampler, report: Callable[[str], None] = print) -> dict[str, object]:
    """Every way on every problem of the suite, with paired tests."""
    suite = read_suite()
    questions, answers = [row["question"] for row in suite], [row["answer"] for row in suite]
    ways: dict[str, Row] = {}

    def keep(name: str, make: Callable[[], Row]) -> None:
        started = time.monotonic()
        ways[name] = make()
        report(f"{name}: {share(ways[name].hits):.2%} in {time.monotonic() - started:.0f} s")

    plans = plan_all(team, questions)
    keep("plan+execute", lambda: row_of_runs(orchestrate(team, plans, verified=False), answers))
    keep("plan+execute+verify+repair", lambda: row_of_runs(orchestrate(team, plans, verified=True), answers))
    bare = [question + ANSWER_ONLY for question in questions]
    keep("generalist, answer only", lambda: row_of(generalist.answer(bare), answers))
    keep("generalist, chain of thought", lambda: row_of(generalist.answer(questions), answers))
    samples = [generalist.answer(questions, VOTE_TEMPERATURE, seed) for seed in range(1, VOTES + 1)]
    for votes in (3, VOTES):
        keep(f"generalist, majority of {votes}", lambda votes=votes: majority(samples[:votes], answers))
    return {
        "problems": len(suite),
        "ways": {name: figures(row, suite) for name, row in ways.items()},
        "paired_tests": {
            f"{first} against {second}": mcnemar(ways[first].hits, ways[second].hits)
            for first in ("plan+execute", "plan+execute+verify+repair")
            for second in ways
            if first != second and not (first == "plan+execute" and second.startswith("plan"))
        },
    }


def figures(row: Row, suite: Sequence[dict[str, str]]) -> dict[str, object]:
    """A row of the table: by number of steps, by wording, by family, with tokens."""

    def part(key: str, value: object) -> float:
        return share([hit for hit, question in zip(row.hits, suite, strict=True) if question[key] == value])

    families = sorted({question["family"] for question in suite})
    return {
        "all": share(row.hits),
        "by_steps": {str(steps): part("steps", steps) for steps in STEPS},
        "by_wording": {wording: part("wording", wording) for wording in ("seen", "unseen")},
        "by_family": {family: part("family", family) for family in families},
        "tokens": round(sum(row.tokens) / len(row.tokens), 1),
        "prompt_tokens": round(sum(row.prompt_tokens) / len(row.prompt_tokens), 1),
        **row.extra,
    }


def direct_figures(generalist: Sampler) -> dict[str, object]:
    """The generalist on the direct prompts of the suite."""
    rows = read_suite("direct")
    row = row_of(generalist.answer([r["question"] for r in rows]), [r["answer"] for r in rows])
    return {"all": share(row.hits), "prompts": len(rows), "tokens": round(sum(row.tokens) / len(rows), 1)}
