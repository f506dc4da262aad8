"""Families of spoken instructions: on a number, on a code, from a code to a number, on two codes."""

from models.starter.problems.draft import Operand, Ref, value_of
from models.starter.problems.operations import UnfitOperation
from models.starter.problems.sampling import draw_code
from models.starter.problems.story import Story, capitalised
from models.starter.problems.wordings import codes as code_words
from models.starter.problems.wordings import numbers, requests

NUMBER_ACTS = {"+": numbers.PLUS, "-": numbers.MINUS, "*": numbers.MULTIPLY, "/": numbers.OVER}
CODE_ACTS = {
    "reverse": code_words.REVERSE,
    "sort": code_words.SORT,
    "swap": code_words.SWAP,
    "drop first": code_words.DROP_FIRST,
    "drop last": code_words.DROP_LAST,
}


def linked(story: Story, parts: list[str]) -> str:
    """Parts as one or several sentences, with different links between them."""
    text = parts[0]
    for part in parts[1:]:
        text = story.rng.choice(numbers.LINKS).format(a=text, b=part, B=capitalised(part))
    return text + "."


def number_acts(story: Story, current: Operand, steps: int) -> tuple[Operand, list[str]]:
    """Arithmetic instructions until the plan has that many steps."""
    parts = []
    while len(story.draft.steps) < steps:
        current, operator, number = story.apply(current)
        parts.append(story.phrase(NUMBER_ACTS[operator], n=number))
    return current, parts


def code_act(story: Story, current: Operand) -> tuple[Ref, str]:
    """One instruction that makes a code of a code."""
    rng = story.rng
    code = value_of(current)
    verbs = ["reverse", "sort", "swap"] + (["drop first", "drop last"] if len(code) > 2 else [])
    if len(code) <= 6 and rng.random() < 0.15:
        extra = draw_code(rng, 2, 4)
        return story.draft.text("join", current, extra), story.phrase(code_words.JOIN, c=extra)
    verb = rng.choice(verbs)
    return story.draft.text(verb, current), story.phrase(CODE_ACTS[verb])


def measure_act(story: Story, current: Operand) -> tuple[Ref, str]:
    """One instruction that makes a number of a code."""
    code = value_of(current)
    if story.rng.random() < 0.55:
        return story.draft.text("length", current), story.phrase(code_words.LENGTH)
    letter = story.rng.choice(code)
    return story.draft.text("count", letter, current), story.phrase(code_words.COUNT, x=letter)


def ended(story: Story, text: str, result: Operand) -> str:
    """The text with a closing question, or without one."""
    end = story.phrase(numbers.END_NUMBER if value_of(result).isdigit() else code_words.END_CODE)
    return f"{text} {end}".strip()


def number_instructions(story: Story, steps: int) -> str:
    """`Start with 84, multiply by 7, then subtract 19.`"""
    first = story.start()
    if steps == 1 and story.rng.random() < 0.6:
        _, operator, number = story.apply(first)
        expression = story.rng.choice(numbers.IN_WORDS[operator]).format(a=first, b=number)
        return story.say(numbers.ONE_STEP, e=expression)
    result, parts = number_acts(story, first, steps)
    return ended(story, linked(story, [story.say(numbers.START, n=first), *parts]), result)


def one_text(story: Story) -> str:
    """A single text operation as a plain request."""
    rng = story.rng
    verb = rng.choice(tuple(requests.ONE_TEXT))
    code, other = draw_code(rng, 3, 8), draw_code(rng, 2, 4)
    letter = rng.choice(code)
    if verb == "join":
        code = code[:6]
        story.draft.text("join", code, other)
    elif verb == "count":
        story.draft.text("count", letter, code)
    else:
        story.draft.text(verb, code)
    return story.say(requests.ONE_TEXT[verb], c=code, d=other, x=letter)


def code_chain(story: Story, steps: int) -> str:
    """`Take the code QEXAR, reverse it, then drop its first letter.`"""
    if steps == 1 and story.rng.random() < 0.6:
        return one_text(story)
    current: Operand = draw_code(story.rng, 3, 8)
    parts = [story.say(code_words.CODE, c=current)]
    for _ in range(steps):
        current, part = code_act(story, current)
        parts.append(part)
    return ended(story, linked(story, parts), current)


def code_to_number(story: Story, steps: int) -> str:
    """A code is changed, measured, and the number goes on."""
    current: Operand = draw_code(story.rng, 4, 9)
    parts = [story.say(code_words.CODE, c=current)]
    for _ in range(story.rng.randint(0, min(2, steps - 2))):
        current, part = code_act(story, current)
        parts.append(part)
    current, part = measure_act(story, current)
    current, acts = number_acts(story, current, steps)
    return ended(story, linked(story, [*parts, part, *acts]), current)


def measured(story: Story, code: str) -> tuple[Ref, str]:
    """The length of a code or the count of one of its letters, and a phrase for it."""
    if story.rng.random() < 0.6:
        return story.draft.text("length", code), story.phrase(requests.MEASURE, c=code)
    letter = story.rng.choice(code)
    return story.draft.text("count", letter, code), story.phrase(requests.MEASURE_COUNT, c=code, x=letter)


def two_measures(story: Story, steps: int) -> str:
    """Two codes are measured, the numbers combined, and the result goes on."""
    rng = story.rng
    first, u = measured(story, draw_code(rng, 3, 9))
    second, v = measured(story, draw_code(rng, 3, 9))
    sentences = [story.say(requests.MEASURE_TWO, u=u, v=v)]
    larger = int(first.value) > int(second.value)
    operator = rng.choice("++*-" if larger else "++*")
    group = {"+": numbers.COMBINE_PLUS, "*": numbers.COMBINE_TIMES, "-": numbers.COMBINE_MINUS}[operator]
    sentences.append(story.say(group))
    current, acts = number_acts(story, story.draft.math(first, operator, second), steps)
    if acts:
        sentences.append(capitalised(linked(story, [rng.choice(("then ", "")) + acts[0], *acts[1:]])))
    return ended(story, " ".join(sentences), current)


def two_codes(story: Story, steps: int) -> str:
    """Two codes are changed apart from each other, joined, and the result goes on."""
    rng = story.rng
    codes = [draw_code(rng, 3, 6), draw_code(rng, 3, 5)]
    if steps == 2:
        current = story.draft.text("join", *codes)
        text = story.say(requests.ONE_TEXT["join"], c=codes[0], d=codes[1])
    else:
        verbs = rng.choices(tuple(requests.ON_ONE), k=2)
        refs = [story.draft.text(verb, code) for verb, code in zip(verbs, codes, strict=True)]
        which = rng.choice((("first", "second"), ("first", "second"), ("first code", "second code")))
        u, v = (
            rng.choice(requests.ON_ONE[verb]).format(w=which[i])
            if rng.random() < 0.8
            else f"{words_for(verb)} {codes[i]}"
            for i, verb in enumerate(verbs)
        )
        both = story.say(requests.ON_BOTH, u=u, v=v, U=capitalised(u), V=capitalised(v))
        current = story.draft.text("join", *refs)
        text = f"{story.say(requests.TWO_CODES, c=codes[0], d=codes[1])} {both} {story.say(requests.COMBINE_JOIN)}"
    parts = []
    while len(story.draft.steps) < steps:
        if len(story.draft.steps) == steps - 1 and rng.random() < 0.4:
            current, part = measure_act(story, current)
        else:
            current, part = code_act(story, current)
        parts.append(part)
    if parts:
        text += " " + capitalised(linked(story, [rng.choice(("then ", "")) + parts[0], *parts[1:]]))
    return ended(story, text, current)


def words_for(verb: str) -> str:
    """The shortest wording of an operation before a code."""
    short = {"reverse": "reverse", "sort": "sort", "swap": "swap the ends of"}
    return short.get(verb) or f"drop the {verb.split()[1]} letter of"


def codes(story: Story, steps: int) -> str:
    """Two codes, measured and combined or changed and joined."""
    if steps == 2 or story.rng.random() < 0.45:
        return two_codes(story, steps)
    if steps < 3:
        raise UnfitOperation("too few steps")
    return two_measures(story, steps)
