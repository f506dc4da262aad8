"""Families about people and their things: event chains, comparisons, and parts worked out apart."""

from models.starter.problems.draft import Operand, Ref, value_of
from models.starter.problems.operations import UnfitOperation
from models.starter.problems.story import Story, capitalised
from models.starter.problems.wordings import comparisons, events, parts
from models.starter.problems.wordings.words import CONTAINERS, PEOPLE, THINGS, plural

EVENT_GROUPS = {"+": events.GAIN, "-": events.LOSS, "*": events.TIMES, "/": events.DIVIDE}
NEAR = 0.75  # how often an amount depends on the person named just before
RELATIONS = {"+": comparisons.MORE, "-": comparisons.FEWER, "*": comparisons.TIMES, "/": comparisons.PART}
PARTS = {"*": parts.GROUPS, "-": parts.LEFT, "/": parts.SHARED, "+": parts.GAINED}


def containers_factors(story: Story) -> tuple[int, int]:
    """Two factors in this part of the data, in the order in which they are told."""
    long = story.rng.randint(3, story.rng.choice((12, 60, 300)))
    short = story.draft.choose(long, "*", 2, 9)
    return (long, short) if story.rng.random() < 0.5 else (short, long)


def event_chain(story: Story, steps: int) -> str:
    """Something is owned, and then things happen to it."""
    rng = story.rng
    (name, pronoun), (other, _) = rng.sample(PEOPLE, 2)
    item, box = rng.choice(THINGS), rng.choice(CONTAINERS)
    slots: dict[str, object] = {"N": name, "M": other, "items": plural(item), "box": box, "boxes": plural(box)}
    slots["o"] = "her" if pronoun == "she" else "him"
    slots["p"] = pronoun
    current: Operand
    if rng.random() < 0.35:
        a, b = containers_factors(story)
        sentences = [story.say(events.OPEN_BOXES, a=a, b=b, **slots)]
        current = story.draft.math(a, "*", b)
    else:
        current = story.start()
        sentences = [story.say(events.OPEN_PLAIN, n=current, **slots)]
    while len(story.draft.steps) < steps:
        current, operator, number = story.apply(current)
        slots["p"] = rng.choice((pronoun, pronoun, name))
        slots["then"] = rng.choice(events.THEN)
        sentences.append(story.say(EVENT_GROUPS[operator], n=number, k=number, **slots))
    slots["p"] = pronoun
    return " ".join([*sentences, story.say(events.ASK, **slots)])


def relation(story: Story, operator: str, first: str, second: str, near: bool, **slots: object) -> str:
    """A sentence about the second person; it names the first one unless that one was just spoken of."""
    for _ in range(50):
        sentence = story.say(RELATIONS[operator], A=first, B=second, **slots)
        if near or first in sentence:
            return sentence
    raise UnfitOperation("no sentence names both")


def joined(names: list[str]) -> str:
    """`Mia, Ben and Ann`."""
    return ", ".join(names[:-1]) + " and " + names[-1]


def total(story: Story, amounts: list[Operand]) -> Ref:
    """Adds the amounts up from the first on."""
    result = story.draft.math(amounts[0], "+", amounts[1])
    for amount in amounts[2:]:
        result = story.draft.math(result, "+", amount)
    return result


def ask_combined(story: Story, names: list[str], amounts: list[Operand], items: str) -> str:
    """A question for the sum of all, or for the difference of two."""
    if len(names) == 2 and story.rng.random() < 0.4:
        order = (0, 1) if int(value_of(amounts[0])) > int(value_of(amounts[1])) else (1, 0)
        story.draft.math(amounts[order[0]], "-", amounts[order[1]])
        return story.say(comparisons.ASK_DIFFERENCE, A=names[order[0]], B=names[order[1]], items=items)
    total(story, amounts)
    return story.say(comparisons.ASK_SUM, AB=joined(names), items=items)


def people(story: Story, steps: int) -> str:
    """Amounts that depend on one another, then one of them, their sum or a difference."""
    rng = story.rng
    relations = rng.choice([r for r in (1, 2, 3, 4, 5) if r == steps or r < steps == 2 * r])
    if steps == 3 and rng.random() < 0.7:
        relations = 2
    if steps == 5 and rng.random() < 0.7:
        relations = rng.choice((3, 4))
    if steps == 4 and rng.random() < 0.4:
        relations = 3
    names = [name for name, _ in rng.sample(PEOPLE, relations + 1)]
    items = plural(rng.choice(THINGS))
    amounts: list[Operand] = [story.start()]
    sentences = [story.say(comparisons.OPEN, A=names[0], n=amounts[0], items=items)]
    for i in range(1, relations + 1):
        near = rng.random() < NEAR or i == 1
        of = i - 1 if near else rng.randrange(i - 1)
        result, operator, number = story.apply(amounts[of], names[i])
        amounts.append(result)
        sentences.append(relation(story, operator, names[of], names[i], near, n=number, k=number, items=items))
    missing = steps - relations
    if missing == 0:
        question = story.say(comparisons.ASK_LAST, B=names[-1], items=items)
    else:
        chosen = sorted(rng.sample(range(relations + 1), missing + 1))
        if missing + 1 < relations + 1 and relations not in chosen:
            raise UnfitOperation("the last person must matter")
        question = ask_combined(story, [names[i] for i in chosen], [amounts[i] for i in chosen], items)
    return " ".join([*sentences, question])


def parallel(story: Story, steps: int) -> str:
    """Amounts that are worked out apart from each other, then combined."""
    rng = story.rng
    worked, plain = {2: [(1, 1)], 3: [(2, 0), (2, 0), (1, 2)], 4: [(2, 1)], 5: [(3, 0)]}[steps][
        rng.randrange({2: 1, 3: 3, 4: 1, 5: 1}[steps])
    ]
    kinds = ["worked"] * worked + ["plain"] * plain
    rng.shuffle(kinds)
    names = [name for name, _ in rng.sample(PEOPLE, len(kinds))]
    item, box = rng.choice(THINGS), rng.choice(CONTAINERS)
    slots: dict[str, object] = {"items": plural(item), "box": box, "boxes": plural(box)}
    amounts: list[Operand] = []
    sentences = []
    for kind, name in zip(kinds, names, strict=True):
        if kind == "plain":
            amounts.append(story.start())
            sentences.append(story.say(comparisons.OPEN, A=name, n=amounts[-1], **slots))
            continue
        operator = rng.choice("**-/+")
        if operator == "*":
            x, y = containers_factors(story)
        elif operator == "/":
            y = rng.randint(2, 9)
            x = y * rng.randint(2, rng.choice((20, 99, 300)))
        else:
            x = story.start()
            y = story.number(x, operator)
        amounts.append(story.draft.math(x, operator, y, name))
        sentences.append(capitalised(story.say(PARTS[operator], A=name, x=x, y=y, **slots)))
    question = ask_combined(story, names, amounts, plural(item))
    return " ".join([*sentences, question])
