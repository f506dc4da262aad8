"""A plan under construction: each new step is computed at once and refused where it leaves the family or the split."""

import random
from dataclasses import dataclass, field

from models.starter.problems.operations import UnfitOperation, evaluate, is_math, split_of
from models.starter.problems.splits import Split


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan; `do` may name earlier results as `$s1` or `$sZoe`."""

    id: str
    skill: str
    do: str


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of an earlier step."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"${self.name}"


Operand = int | str | Ref


def value_of(operand: Operand) -> str:
    """What an operand stands for."""
    return operand.value if isinstance(operand, Ref) else str(operand)


@dataclass(slots=True)
class Draft:
    """The steps so far, all of them in one part of the data."""

    rng: random.Random
    split: Split
    steps: list[Step] = field(default_factory=list)

    def _add(self, pattern: str, operands: tuple[Operand, ...], subject: str = "") -> Ref:
        concrete = pattern.format(*map(value_of, operands))
        result = evaluate(concrete)
        if split_of(concrete) != self.split:
            raise UnfitOperation("another part of the data")
        name = f"s{subject or len(self.steps) + 1}"
        self.steps.append(Step(name, "math" if is_math(concrete) else "text", pattern.format(*map(str, operands))))
        return Ref(name, result)

    def math(self, a: Operand, operator: str, b: Operand, subject: str = "") -> Ref:
        """Adds an arithmetic step, called by what its result is of (`Zoe`), or by its number.

        A planner that writes whose amount a step is finds it again by name instead of by counting steps.
        """
        return self._add("{}" + operator + "{}", (a, b), subject)

    def text(self, verb: str, *codes: Operand) -> Ref:
        """Adds a text step; for `count` the letter comes first."""
        return self._add(verb + " {}" * len(codes), codes)

    def choose(self, a: Operand, operator: str, low: int, high: int) -> int:
        """A number for `a operator ?` that keeps the result in range and in this part of the data."""
        left = value_of(a)
        for _ in range(40):
            b = self.rng.randint(low, high)
            try:
                evaluate(f"{left}{operator}{b}")
            except UnfitOperation:
                continue
            if split_of(f"{left}{operator}{b}") == self.split:
                return b
        raise UnfitOperation("no number fits")
