"""The prose of the model cards."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """What the tables cannot say about one model."""

    what: str
    form: str
    can: str
    cannot: str
    data: str
    notes: str = ""


PLANNER_FORM = """```
<|user|>Start with 84, multiply by 7, then subtract 19.<|assistant|>{"steps": [
{"id": "s1", "skill": "math", "do": "84*7"}, {"id": "s2", "skill": "math", "do": "$s1-19"}]}</s>
```

(in one line; the text is what Python's `json.dumps` writes). `$s1` stands for the result of step s1. A step about a
person or a thing is named after it (`sZoe`, `$sZoe*7`), so that an amount is found again by copying its name. Steps
that do not refer to each other may run side by side; the result of the last step is the answer. Skills: `math`,
`text`."""

GENERALIST_FORM = """```
<|user|>Start with 84, multiply by 7, then subtract 19.<|assistant|>84*7:4*7=28,8*7+2=58:588|588-19:…:569;569</s>
<|user|>What is the capital of France?<|assistant|>Paris</s>
<|user|>Start with 84, multiply by 7. Answer only.<|assistant|>588</s>
```

The answer follows the last `;`, or is all there is."""

TEXTS = {
    "planner": Text(
        what="The planner: it turns a question in plain English into a JSON task graph of one to five steps.",
        form=PLANNER_FORM,
        can="It plans eight families of problems: chains of events, several people compared, price lists with fees and "
        "change, instructions on a number, instructions on a code of capital letters, from a code to a number, two "
        "codes, and parts worked out apart.",
        cannot="Nothing else. A question outside these families, with words it never saw, with more than five steps or "
        "with facts that nobody needs gets a plan that is well formed and wrong; it does not know when it does not "
        "know. The table below shows its weak points: the families with the lowest figures in unseen wordings.",
        data="Questions with their plans, drawn from all families and one to five steps.",
        notes="Three workers computed gradients side by side. An earlier planner, which numbered its steps, had 38 "
        "million tokens on one core and reached 87% and 76%; it took the last person named where an amount depended on "
        "one further back. Two changes mended that: steps named after their subject, and three times the training. "
        "About 630 further training wordings joined after half of this training, written without sight of the held-out "
        "ones; the few that turned out equal to one were dropped.",
    ),
    "math": Text(
        what="The executor for arithmetic: one operation on whole numbers, with its working shown digit by digit.",
        form="""```
<|user|>347*8<|assistant|>7*8=56,4*8+5=37,3*8+3=27;2776</s>
<|user|>4443-596<|assistant|>3-6=7b,4-9-1=4b,4-5-1=8b,4-0-1=3;3847</s>
```

The result follows the last `;`.""",
        can="It does `+`, `-`, `*`, `/` on whole numbers from 1 to 9999 with a result in that range; one factor of a "
        "product and the divisor have one digit; divisions are exact.",
        cannot="Nothing else: no larger numbers, no two factors of several digits, no remainders, zeros, negative "
        "numbers or decimals.",
        data="Single operations, the four kinds equally often, the number of digits drawn first.",
        notes="The training includes eleven minutes with an earlier form of the working of subtractions, which had to "
        "know of a borrow before it was worked out, and was right in 95% of subtractions only.",
    ),
    "text": Text(
        what="The executor for codes of capital letters: one operation, answered at once without working.",
        form="""```
<|user|>reverse QEXAR<|assistant|>RAXEQ</s>
<|user|>count A BANANA<|assistant|>3</s>
```""",
        can="It does `reverse X`, `sort X`, `swap X` (the first and the last letter), `drop first X`, `drop last X`, "
        "`join X Y`, `count L X` and `length X` on codes of 2 to 10 letters.",
        cannot="No words in lower case, no longer codes, nothing else. It is quick rather than careful: counting "
        "letters without working is its weak point, and what the verifier is for.",
        data="Single operations on random, pronounceable and repetitive codes.",
    ),
    "verifier": Text(
        what="The verifier: it checks one claimed result by another route than the executor took.",
        form="""```
<|user|>347*8 = 2776<|assistant|>2/8=0r2,27/8=3r3,37/8=4r5,56/8=7r0:347:33=44=77=;pass</s>
<|user|>drop first TOM = OT<|assistant|>1T2O3M:1O2T:2O1OO=3M2TM!;fail</s>
```

The verdict, `pass` or `fail`, is the last token; its probability against the other one is the confidence.""",
        can="Arithmetic is undone on the claimed result (a product by long division, a sum by subtraction) and "
        "compared digit by digit; codes are spelled with positions and compared letter by letter; letters are "
        "counted with a running count.",
        cannot="It does not judge whether a step was the right one to do: errors of the planner pass. So on the suite, "
        "where nearly all errors are the planner's, verification and repair gain next to nothing; what they do with "
        "right plans is in the table below.",
        data="Right results (two in five), results corrupted on purpose, wrong results that the executors themselves "
        "gave on training operations when sampled at temperature 1.0 and 1.3, and some practice in comparing two codes "
        "letter by letter.",
        notes="The training includes half an hour in which letters stood apart from the letters they were compared "
        "with, and equality was not learnt; side by side, with the comparing practice, it was learnt in minutes.",
    ),
    "generalist": Text(
        what="The generalist: one model that answers in one pass, at least as large as the four specialists together. "
        "It is the monolith that the team is compared with, and it answers direct prompts.",
        form=GENERALIST_FORM,
        can="It answers the same problems as the team, with a chain of thought in the executors' own workings, and "
        "some 60 direct prompts (greetings, capitals, number words, days, months, opposites).",
        cannot="It knows no other facts. `Answer only.` is there to measure how much the chain of thought does: "
        "without it nearly nothing is right.",
        data="The planner's questions with a chain of thought (84%) or with the bare answer (10%), and direct prompts "
        "(6%).",
        notes="Trained in two stages: 144 core minutes down to a rate of nothing, then the rest from a higher rate "
        "down again, with the wordings that the planner got too; a fifth of the first stage had an earlier form "
        "of the working of subtractions (see starter-math).",
    ),
}
