"""Collects the executors' own wrong results on training operations, for the verifier to learn from."""

import json
import random
from collections.abc import Callable

from models.starter.examples import OWN_ERRORS
from models.starter.formats import final_answer
from models.starter.problems.operations import evaluate
from models.starter.problems.sampling import draw_operation
from models.starter.sampling import Sampler

TEMPERATURES = (1.0, 1.3)
OPERATIONS = {"math": 8_000, "text": 30_000}
LONGEST = 14


def wrong_results(sampler: Sampler, skill: str, count: int, temperature: float, seed: int) -> list[tuple[str, str]]:
    """Operations of the training part with a sampled result that is wrong but looks like one."""
    rng = random.Random(f"own/{skill}/{seed}")
    dos = [draw_operation(rng, skill, "train") for _ in range(count)]
    results = [final_answer(c.text) for c in sampler.answer(dos, temperature, seed, max_tokens=60)]
    pairs = zip(dos, results, strict=True)
    return [(do, r) for do, r in pairs if r != evaluate(do) and r.isalnum() and len(r) <= LONGEST]


def collect(executors: dict[str, Sampler], report: Callable[[str], None] = print) -> None:
    """Writes the wrong results of both executors."""
    found: dict[tuple[str, str], None] = {}
    for skill, sampler in executors.items():
        for seed, temperature in enumerate(TEMPERATURES):
            wrong = wrong_results(sampler, skill, OPERATIONS[skill], temperature, seed)
            report(f"{skill} at temperature {temperature}: {len(wrong)} wrong of {OPERATIONS[skill]}")
            found.update(dict.fromkeys(wrong))
    OWN_ERRORS.parent.mkdir(parents=True, exist_ok=True)
    OWN_ERRORS.write_text("".join(json.dumps({"do": do, "result": result}) + "\n" for do, result in found))
