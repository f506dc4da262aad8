"""Plan, execute, verify and repair over many problems at once, the way the appliance does it for one."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.starter.formats import claim, final_answer, resolve
from models.starter.sampling import Completion, Sampler

SKILLS = ("math", "text")
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Repair:
    """What is done about a result that the verifier doubts."""

    samples: int = 2
    temperature: float = 1.0
    threshold: float = THRESHOLD


@dataclass(frozen=True, slots=True)
class Team:
    """The four specialists."""

    planner: Sampler
    math: Sampler
    text: Sampler
    verifier: Sampler

    def executor(self, skill: str) -> Sampler:
        """The executor of a skill."""
        return self.math if skill == "math" else self.text


@dataclass(slots=True)
class Run:
    """One problem on its way: its plan, its results, what it has cost."""

    steps: list[dict[str, str]]
    results: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    prompt_tokens: int = 0
    calls: int = 0
    repairs: int = 0
    failed: bool = False
    doubted: bool = False

    def pay(self, completion: Completion) -> None:
        """Counts one call."""
        self.tokens += completion.tokens
        self.prompt_tokens += completion.prompt_tokens
        self.calls += 1

    @property
    def answer(self) -> str:
        """The result of the last step, or nothing."""
        return "" if self.failed or not self.steps else self.results.get(self.steps[-1]["id"], "")

    def ready(self) -> list[dict[str, str]]:
        """Steps whose references are known and that have no result yet."""
        if self.failed:
            return []
        return [s for s in self.steps if s["id"] not in self.results and resolvable(s["do"], self.results)]


def resolvable(do: str, results: dict[str, str]) -> bool:
    """Whether all references have results."""
    try:
        resolve(do, results)
    except KeyError:
        return False
    return True


def read_plan(text: str) -> list[dict[str, str]]:
    """The steps of a plan; none where it is not a valid one."""
    try:
        steps = json.loads(text)["steps"]
        valid = all(set(s) == {"id", "skill", "do"} and s["skill"] in SKILLS for s in steps)
    except (ValueError, KeyError, TypeError):
        return []
    return list(steps) if valid else []


@dataclass(frozen=True, slots=True)
class Work:
    """One step to be done now."""

    run: Run
    step: dict[str, str]
    do: str


def execute(team: Team, work: Sequence[Work], temperature: float = 0.0, seed: int = 0) -> list[str]:
    """The results of the steps, each by the executor of its skill."""
    results = [""] * len(work)
    for skill in SKILLS:
        chosen = [i for i, w in enumerate(work) if w.step["skill"] == skill]
        answers = team.executor(skill).answer([work[i].do for i in chosen], temperature, seed) if chosen else []
        for i, completion in zip(chosen, answers, strict=True):
            work[i].run.pay(completion)
            results[i] = final_answer(completion.text)
    return results


def verify(team: Team, work: Sequence[Work], results: Sequence[str]) -> list[float]:
    """The verifier's probability that each result is right."""
    if not work:
        return []
    completions = team.verifier.answer([claim(w.do, r) for w, r in zip(work, results, strict=True)])
    for w, completion in zip(work, completions, strict=True):
        w.run.pay(completion)
    return [completion.pass_probability for completion in completions]


def check_and_repair(team: Team, work: Sequence[Work], results: list[str], repair: Repair, seed: int) -> list[str]:
    """Checks every result; where it fails, takes fresh samples: the first that passes, otherwise the best."""
    scores = verify(team, work, results)
    best = list(zip(scores, results, strict=True))
    open_ = [i for i, score in enumerate(scores) if score < repair.threshold]
    for attempt in range(repair.samples):
        if not open_:
            break
        again = [work[i] for i in open_]
        for w in again:
            w.run.repairs += 1
        fresh = execute(team, again, repair.temperature, seed * 10 + attempt + 1)
        for i, score, result in zip(open_, verify(team, again, fresh), fresh, strict=True):
            best[i] = max(best[i], (score, result))
        open_ = [i for i in open_ if best[i][0] < repair.threshold]
    for i in open_:
        work[i].run.doubted = True
    return [result for _, result in best]


def plan_all(team: Team, questions: Sequence[str]) -> list[tuple[Completion, list[dict[str, str]]]]:
    """A plan for each question."""
    return [(completion, read_plan(completion.text)) for completion in team.planner.answer(questions)]


def plan_by_majority(
    team: Team, questions: Sequence[str], samples: int = 4, temperature: float = 0.7
) -> list[tuple[Completion, list[dict[str, str]]]]:
    """The plan that most of one greedy pass and some samples agree on, the greedy one where equal; all are paid for."""
    passes = [team.planner.answer(questions)]
    passes += [team.planner.answer(questions, temperature, seed) for seed in range(1, samples + 1)]
    chosen = []
    for row in zip(*passes, strict=True):
        text = Counter(completion.text for completion in row).most_common(1)[0][0]
        cost = Completion(text, sum(c.tokens for c in row), sum(c.prompt_tokens for c in row))
        chosen.append((cost, read_plan(text)))
    return chosen


def orchestrate(
    team: Team, plans: Sequence[tuple[Completion, list[dict[str, str]]]], repair: Repair | None, seed: int = 0
) -> list[Run]:
    """Executes the plans level by level, without verification where there is no repair."""
    runs = []
    for completion, steps in plans:
        run = Run(steps, failed=not steps)
        run.pay(completion)
        runs.append(run)
    for level in range(10):
        work = [Work(run, s, resolve(s["do"], run.results)) for run in runs for s in run.ready()]
        if not work:
            break
        results = execute(team, work)
        if repair:
            results = check_and_repair(team, work, results, repair, seed * 100 + level)
        for w, result in zip(work, results, strict=True):
            w.run.results[w.step["id"]] = result
    return runs


def plan_again(team: Team, questions: Sequence[str], runs: Sequence[Run], repair: Repair, seed: int = 0) -> list[Run]:
    """Another plan, sampled, where a step failed verification in every attempt; taken where all of it passes."""
    kept = list(runs)
    doubted = [i for i, run in enumerate(runs) if run.doubted]
    proposals = team.planner.answer([questions[i] for i in doubted], repair.temperature, seed + 1) if doubted else []
    others = orchestrate(team, [(c, read_plan(c.text)) for c in proposals], repair, seed + 1)
    for i, other in zip(doubted, others, strict=True):
        first = runs[i]
        taken = other if other.answer and not other.doubted and other.steps != first.steps else first
        kept[i] = replace(
            taken,
            tokens=first.tokens + other.tokens,
            prompt_tokens=first.prompt_tokens + other.prompt_tokens,
            calls=first.calls + other.calls,
            repairs=first.repairs + other.repairs,
        )
    return kept
