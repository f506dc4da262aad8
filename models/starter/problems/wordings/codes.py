"""Wordings of instructions on one code."""

from models.starter.problems.wordings import Group

CODE: Group = (
    (
        "Take the code {c}",
        "Start with {c}",
        "Take {c}",
        "Begin with the code {c}",
        "The code is {c}",
        "Write down {c}",
        "Here is a code: {c}",
        "Start with the code {c}",
        "Use the code {c}",
        "Take the letters {c}",
        "You have the code {c}",
        "My code is {c}",
    ),
    ("Begin with {c}", "Write down the code {c}", "The letters are {c}", "Start with the letters {c}", "Use {c}"),
)
REVERSE: Group = (
    (
        "reverse it",
        "turn it around",
        "write it backwards",
        "read it from right to left",
        "reverse the code",
        "flip it",
        "write the code backwards",
        "turn the letters around",
        "put it in reverse",
        "spell it backwards",
        "reverse the letters",
    ),
    ("turn the code around", "write the letters backwards", "flip the code", "read it backwards"),
)
SORT: Group = (
    (
        "sort it",
        "sort the letters",
        "put the letters in order",
        "sort it by the alphabet",
        "order the letters",
        "put it in alphabetical order",
        "sort the code",
        "sort the letters from A to Z",
        "bring the letters in order",
        "arrange the letters by the alphabet",
    ),
    ("order the letters from A to Z", "put the code in alphabetical order", "sort the code by the alphabet"),
)
SWAP: Group = (
    (
        "swap the first and the last letter",
        "swap its ends",
        "exchange the first and last letters",
        "swap the first letter with the last",
        "let the first and the last letter trade places",
        "swap the outer letters",
        "exchange its ends",
        "swap the two ends",
        "swap first and last",
        "trade the first letter for the last",
    ),
    ("exchange the first letter with the last", "swap the first and last letters", "exchange the outer letters"),
)
DROP_FIRST: Group = (
    (
        "drop its first letter",
        "remove the first letter",
        "take away the first letter",
        "drop the first letter",
        "cut off the first letter",
        "leave out the first letter",
        "lose the first letter",
        "delete its first letter",
        "strike the first letter",
        "cut the letter at the front",
        "remove the letter at the start",
    ),
    (
        "delete the first letter",
        "cut off its first letter",
        "drop the letter at the front",
        "take the first letter away",
    ),
)
DROP_LAST: Group = (
    (
        "drop its last letter",
        "remove the last letter",
        "take away the last letter",
        "drop the last letter",
        "cut off the last letter",
        "leave out the last letter",
        "lose the last letter",
        "delete its last letter",
        "strike the last letter",
        "cut the letter at the back",
        "remove the letter at the end",
    ),
    ("delete the last letter", "cut off its last letter", "drop the letter at the back", "take the last letter away"),
)
JOIN: Group = (
    (
        "append {c}",
        "add {c} at the end",
        "put {c} behind it",
        "attach {c}",
        "join it with {c}",
        "write {c} after it",
        "join {c} to it",
        "stick {c} on the end",
        "put {c} at the end",
        "attach {c} at the end",
    ),
    ("append {c} at the end", "write {c} at the end", "put {c} after it"),
)
LENGTH: Group = (
    (
        "count the letters",
        "count its letters",
        "take its length",
        "measure its length",
        "find how many letters it has",
        "take the number of letters",
        "measure how long it is",
        "find its length",
        "count all the letters",
        "note its length",
        "take the length of it",
    ),
    ("find the number of letters", "count all its letters", "measure the length", "note how many letters it has"),
)
COUNT: Group = (
    (
        "count the letter {x}",
        "count how often {x} comes",
        "find how many times {x} is in it",
        "count each {x}",
        "count the {x} in it",
        "count how many {x} it has",
        "find how often {x} is in it",
        "take the number of {x}",
        "count all {x}",
        "note how many {x} there are",
    ),
    ("find how often {x} comes", "count how many times {x} is in it", "find the number of {x} in it"),
)
END_CODE: Group = (
    (
        "What do you get?",
        "What is the result?",
        "What comes out?",
        "Give the result.",
        "What code do you get?",
        "What is it now?",
        "Tell me the result.",
        "What is the code now?",
        "What code is it?",
        "Say the result.",
        "",
        "",
    ),
    ("Tell me what you get.", "What code comes out?", "Give me the code."),
)
