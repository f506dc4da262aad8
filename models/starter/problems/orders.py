"""The family of price lists: what an order costs, with fees, vouchers and change."""

from models.starter.problems.draft import Operand, value_of
from models.starter.problems.operations import UnfitOperation
from models.starter.problems.stories import joined, total
from models.starter.problems.story import Story, article, capitalised
from models.starter.problems.wordings import orders
from models.starter.problems.wordings.words import PEOPLE, PLACES, THINGS, plural

SHAPES = {  # steps: (kinds of things, fees and vouchers, change)
    1: [(1, 0, 0)],
    2: [(1, 1, 0), (1, 0, 1)],
    3: [(2, 0, 0), (2, 0, 0), (1, 1, 1), (1, 2, 0)],
    4: [(2, 1, 0), (2, 0, 1)],
    5: [(3, 0, 0), (2, 1, 1), (2, 2, 0)],
}


def price_sentences(story: Story, things: list[str], prices: list[int]) -> list[str]:
    """One sentence for each price, in any order; rarely a price that nobody needs."""
    rng = story.rng
    listed = list(zip(things, prices, strict=True))
    rng.shuffle(listed)
    if rng.random() < 0.1:
        extra = rng.choice([thing for thing in THINGS if thing not in things])
        listed.insert(rng.randrange(len(listed) + 1), (extra, rng.randint(2, 99)))
    return [
        story.say(
            orders.PRICE,
            item=item,
            aitem=article(item),
            Aitem=capitalised(article(item)),
            items=plural(item),
            Items=capitalised(plural(item)),
            n=price,
            place=rng.choice(PLACES),
        )
        for item, price in listed
    ]


def price_list(story: Story, steps: int) -> str:
    """Prices, an order, perhaps fees and vouchers, and a question for the total or the change."""
    rng = story.rng
    kinds, extras, change = rng.choice(SHAPES[steps])
    name, pronoun = rng.choice(PEOPLE)
    things = rng.sample(THINGS, kinds)
    prices = [rng.randint(2, rng.choice((20, 99, 99, 400))) for _ in things]
    counts = [story.draft.choose(price, "*", 2, 9) for price in prices]
    amounts: list[Operand] = [
        story.draft.math(p, "*", c, thing) for p, c, thing in zip(prices, counts, things, strict=True)
    ]
    phrases = [f"{count} {plural(thing)}" for count, thing in zip(counts, things, strict=True)]
    order = story.say(orders.BUY, N=name, list=phrases[0] if kinds == 1 else joined(phrases))
    sentences = price_sentences(story, things, prices)
    sentences = [*sentences, order] if rng.random() < 0.75 else [order, *sentences]
    current = amounts[0] if kinds == 1 else total(story, amounts)
    for operator in rng.sample("+-", extras):
        number = story.draft.choose(current, operator, 2, min(60, max(2, int(value_of(current)) - 1)))
        current = story.draft.math(current, operator, number)
        sentences.append(story.say(orders.FEE if operator == "+" else orders.REBATE, N=name, n=number))
    if not change:
        return " ".join([*sentences, story.say(orders.ASK_TOTAL, N=name)])
    price = int(value_of(current))
    choices = [paid for paid in (50, 100, 200, 500, 1000, 2000, 5000) if paid > price]
    choices.append(rng.randint(price + 1, price + 200))
    for paid in rng.sample(choices[:3] + choices[-1:], k=min(4, len(choices))):
        try:
            story.draft.math(paid, "-", current)
        except UnfitOperation:
            continue
        p2 = "her" if pronoun == "she" else "his"
        return " ".join([*sentences, story.say(orders.ASK_CHANGE, N=name, p=pronoun, p2=p2, n=paid)])
    raise UnfitOperation("no payment fits")
