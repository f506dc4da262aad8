"""Wordings of instructions on numbers."""

from models.starter.problems.wordings import Group

START: Group = (
    (
        "Start with {n}",
        "Take {n}",
        "Begin with {n}",
        "Take the number {n}",
        "Think of {n}",
        "Write down {n}",
        "Choose {n}",
        "Start from {n}",
        "Begin at {n}",
        "I have the number {n}",
        "My number is {n}",
        "Let us start with {n}",
    ),
    ("Start with the number {n}", "Choose the number {n}", "Let us take {n}", "Begin from {n}"),
)
PLUS: Group = (
    (
        "add {n}",
        "add {n} to it",
        "plus {n}",
        "increase it by {n}",
        "raise it by {n}",
        "make it {n} larger",
        "put {n} on top",
        "count {n} up",
        "go up by {n}",
        "add another {n}",
        "add {n} more",
    ),
    ("increase the result by {n}", "make the result {n} larger", "add {n} to the result", "go {n} up"),
)
MINUS: Group = (
    (
        "subtract {n}",
        "take away {n}",
        "subtract {n} from it",
        "minus {n}",
        "decrease it by {n}",
        "lower it by {n}",
        "make it {n} smaller",
        "take {n} off",
        "count {n} down",
        "go down by {n}",
        "remove {n}",
    ),
    ("decrease the result by {n}", "make the result {n} smaller", "subtract {n} from the result", "go {n} down"),
)
MULTIPLY: Group = (
    (
        "multiply by {n}",
        "multiply it by {n}",
        "times {n}",
        "take it {n} times",
        "make it {n} times as large",
        "multiply that by {n}",
        "take {n} times that",
        "make {n} times as much of it",
        "multiply with {n}",
        "form {n} times it",
    ),
    ("multiply the result by {n}", "take the result {n} times", "make the result {n} times as large"),
)
OVER: Group = (
    (
        "divide by {n}",
        "divide it by {n}",
        "split it into {n} equal parts and take one",
        "share it by {n}",
        "divide that by {n}",
        "cut it into {n} equal parts and keep one",
        "make {n} equal parts and take one",
        "take one of {n} equal parts",
        "divide into {n} parts",
    ),
    (
        "divide the result by {n}",
        "split the result into {n} equal parts and keep one",
        "cut that into {n} equal parts and take one",
    ),
)
ONE_STEP: Group = (
    (
        "What is {e}?",
        "Calculate {e}.",
        "Compute {e}.",
        "How much is {e}?",
        "{e} = ?",
        "Find {e}.",
        "Tell me what {e} is.",
        "Work out {e}.",
        "What do you get for {e}?",
        "I need {e}.",
        "{e}",
        "What does {e} make?",
    ),
    ("Tell me how much {e} is.", "What do I get for {e}?", "Find out what {e} makes."),
)
IN_WORDS = {
    "+": ("{a} plus {b}", "{a} + {b}", "{a}+{b}", "the sum of {a} and {b}", "{a} and {b} together"),
    "-": ("{a} minus {b}", "{a} - {b}", "{a}-{b}", "{a} less {b}", "the difference of {a} and {b}"),
    "*": ("{a} times {b}", "{a} * {b}", "{a}*{b}", "{a} multiplied by {b}", "the product of {a} and {b}"),
    "/": ("{a} divided by {b}", "{a} / {b}", "{a}/{b}", "{a} over {b}", "one of {b} equal parts of {a}"),
}
END_NUMBER: Group = (
    (
        "What do you get?",
        "What is the result?",
        "What comes out?",
        "Give the result.",
        "What number do you get?",
        "What is it now?",
        "Tell me the result.",
        "What is the number now?",
        "What number is it?",
        "Say the result.",
        "",
        "",
    ),
    ("Tell me what you get.", "What number comes out?", "Give me the number."),
)
LINKS = (
    "{a}, {b}",
    "{a}, then {b}",
    "{a} and {b}",
    "{a}, and then {b}",
    "{a}. {B}",
    "{a}. Then {b}",
    "{a}. Next, {b}",
    "{a}. After that, {b}",
    "{a}; {b}",
    "{a}, and {b}",
)
COMBINE_PLUS: Group = (
    (
        "Add the two.",
        "Add them.",
        "Add both numbers.",
        "Take the sum.",
        "Add them up.",
        "Find the sum.",
        "Form the sum.",
        "Put both together.",
        "What is the sum?",
        "Add the results.",
    ),
    ("Add the two numbers.", "Add up both.", "Form the sum of the two."),
)
COMBINE_TIMES: Group = (
    (
        "Multiply the two.",
        "Multiply them.",
        "Multiply both numbers.",
        "Take the product.",
        "Take the first times the second.",
        "Find the product.",
        "Form the product.",
        "What is the product?",
        "Multiply the results.",
        "Multiply one by the other.",
    ),
    ("Multiply the two numbers.", "Form the product of the two.", "Multiply the first by the second."),
)
COMBINE_MINUS: Group = (
    (
        "Subtract the second from the first.",
        "Take the second from the first.",
        "Take the difference.",
        "Find the difference.",
        "Take the first minus the second.",
        "Form the difference.",
        "What is the difference?",
        "Subtract them.",
        "Take away the second from the first.",
        "Subtract the second number from the first.",
    ),
    ("Find the first minus the second.", "Take the second number from the first.", "Form the difference of the two."),
)
