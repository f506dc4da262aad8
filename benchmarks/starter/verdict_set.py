"""What the starter executors say on held-out operations, labelled right or wrong, to calibrate their verifier with.

The operations are the steps of seeded held-out problems. Every result is sampled from the executor itself; where its
own errors are too few, right results are corrupted the way executors err (`models/starter/problems/corruption.py`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from openai import AsyncOpenAI

from benchmarks.starter.asking import ask
from models.starter.formats import resolve
from models.starter.problems.corruption import corrupt
from models.starter.problems.operations import evaluate, is_math
from models.starter.problems.problem import draw_problem, results_of

SEED = 20_261
EXECUTORS = {"math": "starter-math", "text": "starter-text"}
OPERATIONS = 1_500
"""Different ones of each skill, each sampled once at every temperature."""
TEMPERATURES = (0.0, 0.9, 1.2)
RIGHT, WRONG = 500, 300
"""Lines of each skill."""
CONCURRENCY = 24


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled result. `origin` is `sampled` or `corrupted`."""

    skill: str
    instruction: str
    result: str
    right: bool
    origin: str


def held_out_operations(seed: int = SEED, count: int = OPERATIONS) -> dict[str, list[str]]:
    """Skill → different operations, in the order in which seeded held-out problems need them."""
    rng = random.Random(seed)
    found: dict[str, dict[str, None]] = {skill: {} for skill in EXECUTORS}
    while any(len(operations) < count for operations in found.values()):
        plan = draw_problem(rng, "test", "seen").plan
        results = results_of(plan)
        for step in plan:
            operation = resolve(step.do, results)
            found["math" if is_math(operation) else "text"][operation] = None
    return {skill: list(operations)[:count] for skill, operations in found.items()}


async def sampled(url: str, key: str, done: Callable[[], None], seed: int = SEED) -> list[Line]:
    """What the executors of the running appliance say, labelled; empty answers are left out: no verifier sees them."""
    gate = asyncio.Semaphore(CONCURRENCY)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=2, timeout=300) as client:

        async def one(skill: str, operation: str, temperature: float) -> Line:
            async with gate:
                reply = await ask(
                    client, EXECUTORS[skill], operation, temperature=temperature, seed=seed, max_tokens=200
                )
            done()
            return Line(skill, operation, reply.answer, reply.answer == evaluate(operation), "sampled")

        lines = await asyncio.gather(
            *(
                one(skill, operation, temperature)
                for skill, operations in held_out_operations(seed).items()
                for temperature in TEMPERATURES
                for operation in operations
            )
        )
    return [line for line in lines if line.result]


def labelled_set(lines: Sequence[Line], seed: int = SEED) -> list[Line]:
    """RIGHT right and WRONG wrong lines of each skill, shuffled, no line twice; corrupted ones fill up the wrong."""
    rng = random.Random(seed)
    different = list(dict.fromkeys(lines))
    chosen: list[Line] = []
    for skill in EXECUTORS:
        right = [line for line in different if line.skill == skill and line.right]
        wrong = [line for line in different if line.skill == skill and not line.right]
        wrong = rng.sample(wrong, min(WRONG, len(wrong)))
        made = (corrupted(rng, line) for line in rng.sample(right, len(right)))
        wrong += [line for line in made if line not in wrong][: WRONG - len(wrong)]
        chosen += rng.sample(right, min(RIGHT, len(right))) + wrong
    rng.shuffle(chosen)
    return chosen


def corrupted(rng: random.Random, line: Line) -> Line:
    """The same operation with a wrong result."""
    wrong = corrupt(rng, line.result, line.instruction.split()[-1])
    return Line(line.skill, line.instruction, wrong, False, "corrupted")


def counts(lines: Sequence[Line]) -> dict[str, int]:
    """How many lines of each kind, for the results file."""
    found: dict[str, int] = {}
    for line in lines:
        kind = f"{line.skill}, {'right' if line.right else 'wrong'}, {line.origin}"
        found[kind] = found.get(kind, 0) + 1
    return dict(sorted(found.items()))


def documents(lines: Sequence[Line]) -> list[dict[str, object]]:
    """For a JSONL file."""
    return [asdict(line) for line in lines]
