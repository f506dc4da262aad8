"""The small things that every family needs: a wording, a cast, and sentences with a capital letter."""

import random
from dataclasses import dataclass

from models.starter.problems.draft import Draft, Operand, Ref, value_of
from models.starter.problems.operations import UnfitOperation
from models.starter.problems.wordings import Group, Wording, say


def capitalised(sentence: str) -> str:
    """The sentence with its first letter large."""
    return sentence[:1].upper() + sentence[1:]


def article(noun: str) -> str:
    """`a pen`, `an egg`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


@dataclass(slots=True)
class Story:
    """A question being written along with its plan."""

    rng: random.Random
    wording: Wording
    draft: Draft

    def say(self, group: Group, **slots: object) -> str:
        """One sentence, in a training or a held-out wording as the story asks."""
        return capitalised(say(group, self.wording, self.rng, slots))

    def phrase(self, group: Group, **slots: object) -> str:
        """The same without the capital letter."""
        return say(group, self.wording, self.rng, slots)

    def number(self, operand: Operand, operator: str) -> int:
        """A second operand that suits the first one, its size drawn on several scales."""
        left = int(value_of(operand))
        if operator in "*/":
            return self.draft.choose(operand, operator, 2, 9)
        room = 9998 - left if operator == "+" else left - 1
        if room < 2:
            raise UnfitOperation("no room")
        high = self.rng.choice([top for top in (12, 60, 300, 2000, 9998) if top <= room] or [room])
        return self.draft.choose(operand, operator, 2, high)

    def start(self) -> int:
        """A number to begin with."""
        return self.rng.randint(3, self.rng.choice((20, 99, 99, 500, 2000)))

    def operator(self, operand: Operand) -> str:
        """An operator that leaves the value in range, large values more often made smaller."""
        value = int(value_of(operand))
        if value > 1500:
            return self.rng.choice("+--//")
        if value < 12:
            return self.rng.choice("++**-")
        return self.rng.choice("+-*/")

    def apply(self, operand: Operand, subject: str = "") -> tuple[Ref, str, int]:
        """One more arithmetic step, called after its subject: its result, operator and second operand."""
        for _ in range(12):
            operator = self.operator(operand)
            try:
                number = self.number(operand, operator)
                return self.draft.math(operand, operator, number, subject), operator, number
            except UnfitOperation:
                continue
        raise UnfitOperation("no operator fits")
