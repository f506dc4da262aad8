"""Compares the ways to answer the held-out suite: the generalist's and the team's."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.starter.formats import ANSWER_ONLY, final_answer
from models.starter.measures import mcnemar, share
from models.starter.orchestration import Repair, Run, Team, orchestrate, plan_again, plan_all, plan_by_majority
from models.starter.sampling import Completion, Sampler
from models.starter.suite import STEPS, SUITE

VOTES = (3, 5)
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


def suite_columns() -> tuple[list[str], list[str]]:
    """The suite's questions and their answers."""
    suite = read_suite()
    return [row["question"] for row in suite], [row["answer"] for row in suite]


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


def ways_of_team(team: Team, report: Callable[[str], None]) -> dict[str, Row]:
    """The suite planned and executed, without and with verification and repair."""
    questions, answers = suite_columns()
    plans = plan_all(team, questions)
    ways: dict[str, Row] = {}
    for name, repair in (("plan+execute", None), ("plan+execute+verify+repair", Repair())):
        ways[name] = row_of_runs(orchestrate(team, plans, repair), answers)
        report(f"{name}: {share(ways[name].hits):.2%}")
    name = "plan+execute+verify+repair+plan again"
    runs = plan_again(team, questions, orchestrate(team, plans, Repair()), Repair())
    ways[name] = row_of_runs(runs, answers)
    report(f"{name}: {share(ways[name].hits):.2%}, {sum(run.doubted for run in runs)} still doubted")
    name = "plan by majority of 5+execute+verify+repair"
    ways[name] = row_of_runs(orchestrate(team, plan_by_majority(team, questions), Repair()), answers)
    report(f"{name}: {share(ways[name].hits):.2%}")
    return ways


def ways_of_generalist(generalist: Sampler, report: Callable[[str], None]) -> dict[str, Row]:
    """The suite answered in one pass, without and with a chain of thought, and by a vote of samples."""
    questions, answers = suite_columns()
    ways: dict[str, Row] = {}
    bare = generalist.answer([question + ANSWER_ONLY for question in questions])
    ways["generalist, answer only"] = row_of(bare, answers)
    ways["generalist, chain of thought"] = row_of(generalist.answer(questions), answers)
    report(", ".join(f"{name}: {share(row.hits):.2%}" for name, row in ways.items()))
    samples = [generalist.answer(questions, VOTE_TEMPERATURE, seed) for seed in range(1, max(VOTES) + 1)]
    for votes in VOTES:
        name = f"generalist, majority of {votes}"
        ways[name] = majority(samples[:votes], answers)
        report(f"{name}: {share(ways[name].hits):.2%}")
    return ways


def compare(ways: dict[str, Row]) -> dict[str, object]:
    """Every way on every problem of the suite, with paired tests of the team against the rest."""
    suite = read_suite()
    pairs = [("plan+execute+verify+repair", "plan+execute")]
    pairs += [(way, "plan+execute+verify+repair") for way in ways if way.startswith("plan by") or "again" in way]
    for team_way in ("plan+execute", "plan+execute+verify+repair"):
        pairs += [(team_way, way) for way in ways if way.startswith("generalist")]
    return {
        "problems": len(suite),
        "ways": {name: figures(row, suite) for name, row in ways.items()},
        "paired_tests": {f"{a} against {b}": mcnemar(ways[a].hits, ways[b].hits) for a, b in pairs},
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
