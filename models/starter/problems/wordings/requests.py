"""Wordings of single text operations and of problems with two codes."""

from models.starter.problems.wordings import Group

MEASURE: Group = (
    (
        "the number of letters in {c}",
        "the length of {c}",
        "how many letters {c} has",
        "how long {c} is",
        "the letters of {c}",
        "the count of letters in {c}",
        "the letters in {c}",
        "the size of {c}",
    ),
    ("the count of the letters of {c}", "how many letters are in {c}", "the length of the code {c}"),
)
MEASURE_COUNT: Group = (
    (
        "how often {x} is in {c}",
        "the number of {x} in {c}",
        "how many times {x} comes in {c}",
        "how many {x} {c} has",
        "the count of {x} in {c}",
        "each {x} in {c}",
        "how many {x} are in {c}",
    ),
    ("how often {x} comes in {c}", "how many times {x} is in {c}", "the number of times {x} is in {c}"),
)
MEASURE_TWO: Group = (
    (
        "Count {u} and {v}.",
        "Find {u} and {v}.",
        "Find {u}, then {v}.",
        "Measure {u} and {v}.",
        "Take {u} and also {v}.",
        "Note {u} and {v}.",
        "First find {u}. Then find {v}.",
        "Work out {u} and {v}.",
        "Look at {u} and at {v}.",
        "Tell me {u} and {v}.",
    ),
    ("First take {u}, then {v}.", "Work out {u} and also {v}.", "Note {u}. Then note {v}.", "Measure {u}, then {v}."),
)
COMBINE_JOIN: Group = (
    (
        "Join the two.",
        "Join them.",
        "Join both codes.",
        "Put them together.",
        "Put the second behind the first.",
        "Join the first and the second.",
        "Append the second to the first.",
        "Write the second after the first.",
        "Join the results.",
        "Write them one after the other.",
    ),
    ("Join the two codes.", "Put the second after the first.", "Append the second code to the first."),
)
TWO_CODES: Group = (
    (
        "Take the codes {c} and {d}.",
        "There are two codes, {c} and {d}.",
        "The first code is {c}, the second is {d}.",
        "Here are two codes: {c} and {d}.",
        "Start with {c} and {d}.",
        "Use the codes {c} and {d}.",
        "You have {c} and {d}.",
        "Write down {c} and {d}.",
        "The codes are {c} and {d}.",
        "First code: {c}. Second code: {d}.",
    ),
    ("You have two codes, {c} and {d}.", "Take {c} and {d}.", "The first code is {c} and the second code is {d}."),
)
ONE_TEXT: dict[str, Group] = {
    "reverse": (
        (
            "Reverse {c}.",
            "Reverse the code {c}.",
            "What is {c} backwards?",
            "Write {c} backwards.",
            "Spell {c} from right to left.",
            "Turn {c} around.",
            "Flip the code {c}.",
            "Read {c} backwards.",
        ),
        ("Turn the code {c} around.", "What is the code {c} backwards?", "Write {c} from right to left."),
    ),
    "sort": (
        (
            "Sort {c}.",
            "Sort the letters of {c}.",
            "Put the letters of {c} in order.",
            "Put {c} in alphabetical order.",
            "Order the letters of {c}.",
            "Sort the code {c}.",
            "Bring the letters of {c} in order.",
            "Sort {c} from A to Z.",
        ),
        (
            "Order the code {c}.",
            "Put the letters of {c} in alphabetical order.",
            "Sort the letters of {c} from A to Z.",
        ),
    ),
    "swap": (
        (
            "Swap the first and the last letter of {c}.",
            "Swap the ends of {c}.",
            "Exchange the first and last letters of {c}.",
            "In {c}, swap the first letter with the last.",
            "Swap the outer letters of {c}.",
            "Let the ends of {c} trade places.",
        ),
        ("Exchange the ends of {c}.", "In {c}, exchange the outer letters.", "Swap the first and last letters of {c}."),
    ),
    "drop first": (
        (
            "Drop the first letter of {c}.",
            "Remove the first letter of {c}.",
            "Cut off the first letter of {c}.",
            "Delete the first letter of {c}.",
            "Leave out the first letter of {c}.",
            "What is {c} without its first letter?",
        ),
        (
            "Take away the first letter of {c}.",
            "Strike the first letter of {c}.",
            "What is left of {c} without its first letter?",
        ),
    ),
    "drop last": (
        (
            "Drop the last letter of {c}.",
            "Remove the last letter of {c}.",
            "Cut off the last letter of {c}.",
            "Delete the last letter of {c}.",
            "Leave out the last letter of {c}.",
            "What is {c} without its last letter?",
        ),
        (
            "Take away the last letter of {c}.",
            "Strike the last letter of {c}.",
            "What is left of {c} without its last letter?",
        ),
    ),
    "length": (
        (
            "How many letters has {c}?",
            "How many letters are in {c}?",
            "How long is {c}?",
            "Count the letters of {c}.",
            "What is the length of {c}?",
            "Find the length of {c}.",
            "How many letters does {c} have?",
            "Measure the length of {c}.",
        ),
        ("Count the letters in {c}.", "How long is the code {c}?", "Find how many letters {c} has."),
    ),
    "count": (
        (
            "How many {x} are in {c}?",
            "How often is {x} in {c}?",
            "Count the {x} in {c}.",
            "How many times does {x} come in {c}?",
            "How many {x} does {c} have?",
            "Count the letter {x} in {c}.",
            "Find the number of {x} in {c}.",
        ),
        ("How often does {x} come in {c}?", "Find how many {x} are in {c}.", "How many times is {x} in {c}?"),
    ),
    "join": (
        (
            "Join {c} and {d}.",
            "Put {c} and {d} together.",
            "Write {d} after {c}.",
            "Append {d} to {c}.",
            "Join the codes {c} and {d}.",
            "Put {d} behind {c}.",
            "Attach {d} to {c}.",
            "Write {c} and then {d}.",
        ),
        ("Put the codes {c} and {d} together.", "Put {d} after {c}.", "Append the code {d} to {c}."),
    ),
}
ON_ONE: dict[str, tuple[str, ...]] = {
    "reverse": ("reverse the {w}", "turn the {w} around", "write the {w} backwards", "flip the {w}"),
    "sort": (
        "sort the {w}",
        "put the letters of the {w} in order",
        "sort the letters of the {w}",
        "order the letters of the {w}",
    ),
    "swap": ("swap the ends of the {w}", "swap the outer letters of the {w}", "exchange the ends of the {w}"),
    "drop first": (
        "drop the first letter of the {w}",
        "remove the first letter of the {w}",
        "cut off the first letter of the {w}",
    ),
    "drop last": (
        "drop the last letter of the {w}",
        "remove the last letter of the {w}",
        "cut off the last letter of the {w}",
    ),
}
ON_BOTH: Group = (
    (
        "{U} and {v}.",
        "{U}, then {v}.",
        "{U}. {V}.",
        "{U}. Then {v}.",
        "First {u}, then {v}.",
        "{U}, and {v}.",
        "First {u}. After that, {v}.",
    ),
    ("First {u} and then {v}.", "{U}. After that, {v}.", "{U}; {v}."),
)
