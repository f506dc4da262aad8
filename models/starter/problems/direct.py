"""Prompts that need no plan: greetings and small facts, with training and held-out wordings."""

import random

from models.starter.problems.wordings import Group, Wording, say

GREETINGS: tuple[tuple[Group, str], ...] = (
    (
        (
            ("Hello!", "Hi!", "Hello there.", "Good morning!", "Hi there!", "Hello"),
            ("Good morning", "Hello there!", "Hi"),
        ),
        "Hello! How can I help?",
    ),
    (
        (
            ("Who are you?", "What are you?", "Tell me who you are.", "What is your name?"),
            ("Tell me what you are.", "Say who you are."),
        ),
        "I am a tiny model that can count and spell.",
    ),
    (
        (
            ("Thank you!", "Thanks!", "Many thanks.", "Thank you so much!"),
            ("Thanks so much!", "Many thanks!"),
        ),
        "You are welcome.",
    ),
    (
        (
            ("Goodbye!", "Bye!", "See you later.", "Goodbye for now."),
            ("Bye for now!", "See you!"),
        ),
        "Goodbye!",
    ),
    (
        (
            ("How are you?", "Are you well?", "How do you do?", "How are you today?"),
            ("How are you now?", "Are you well today?"),
        ),
        "I am well.",
    ),
    (
        (
            ("What can you do?", "How can you help?", "Tell me what you can do.", "What are you good at?"),
            ("Say what you can do.", "How can you help me?"),
        ),
        "I can solve small problems with numbers and codes.",
    ),
)
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Austria": "Vienna", "Poland": "Warsaw",
    "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Portugal": "Lisbon", "Greece": "Athens",
    "Japan": "Tokyo", "China": "Beijing", "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana", "Kenya": "Nairobi",
    "Ireland": "Dublin",
}  # fmt: skip
NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "up": "down",
    "early": "late",
    "old": "new",
    "long": "short",
    "left": "right",
}

CAPITAL_OF: Group = (
    (
        "What is the capital of {x}?",
        "Which city is the capital of {x}?",
        "Tell me the capital of {x}.",
        "Name the capital of {x}.",
        "The capital of {x} is which city?",
    ),
    ("Which is the capital of {x}?", "Say the capital of {x}."),
)
DIGIT_OF: Group = (
    ("Write {x} as a number.", "What number is the word {x}?", "Which digits mean {x}?", "Give me {x} in digits."),
    ("Write the word {x} in digits.", "Which number is {x}?"),
)
DAY_AFTER: Group = (
    ("Which day comes after {x}?", "What day follows {x}?", "Name the day after {x}.", "What is the day after {x}?"),
    ("Which day follows {x}?", "Tell me the day after {x}."),
)
MONTH_AFTER: Group = (
    (
        "Which month comes after {x}?",
        "What month follows {x}?",
        "Name the month after {x}.",
        "What is the month after {x}?",
    ),
    ("Which month follows {x}?", "Tell me the month after {x}."),
)
OPPOSITE_OF: Group = (
    (
        "What is the opposite of {x}?",
        "Name the opposite of {x}.",
        "Which word is the opposite of {x}?",
        "Tell me the opposite of {x}.",
    ),
    ("Say the opposite of {x}.", "Which is the opposite of {x}?"),
)


def prompts() -> list[tuple[Group, str, str]]:
    """All direct prompts: the wordings, the thing asked about, the answer."""
    found = [(group, "", answer) for group, answer in GREETINGS]
    found += [(CAPITAL_OF, country, city) for country, city in CAPITALS.items()]
    found += [(DIGIT_OF, word, str(i)) for i, word in enumerate(NUMBER_WORDS, 1)]
    found += [(DAY_AFTER, day, DAYS[(i + 1) % 7]) for i, day in enumerate(DAYS)]
    found += [(MONTH_AFTER, month, MONTHS[(i + 1) % 12]) for i, month in enumerate(MONTHS)]
    found += [(OPPOSITE_OF, a, b) for x, y in OPPOSITES.items() for a, b in ((x, y), (y, x))]
    return found


PROMPTS = tuple(prompts())


def draw_direct(rng: random.Random, wording: Wording) -> tuple[str, str]:
    """A direct prompt and its answer."""
    group, thing, answer = rng.choice(PROMPTS)
    return say(group, wording, rng, {"x": thing}), answer
