"""The one tokenizer of all starter models: byte-level BPE in which digits and capital letters stay single tokens."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.starter.checking import verifier_answer
from models.starter.formats import ANSWER_ONLY, chain_of_thought, claim, plan_text
from models.starter.problems.direct import PROMPTS, draw_direct
from models.starter.problems.operations import evaluate
from models.starter.problems.problem import draw_problem
from models.starter.problems.sampling import draw_operation

PAD, USER, ASSISTANT, END = "<pad>", "<|user|>", "<|assistant|>", "</s>"
SPECIAL = (PAD, END, USER, ASSISTANT)
PAD_ID, END_ID, USER_ID, ASSISTANT_ID = range(4)
VOCAB_SIZE = 1024
PIECES = (
    r'\{"steps": \[\{"id": "s',
    r'", "skill": "(?:math|text)", "do": "',
    r'"\}, \{"id": "s',
    r'"\}\]\}',
    r" ?\$s",
    r" ?[a-z]+",
    r"[0-9]",
    r"[A-Z]",
    r" ?[^\sa-zA-Z0-9]",
    r"\s",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<|user|>{{ message['content'] }}"
    "{% elif message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def corpus(seed: int, problems: int) -> Iterator[str]:
    """Text in training wordings of everything that the models read and write."""
    rng = random.Random(seed)
    for i in range(problems):
        problem = draw_problem(rng, "train", "seen")
        yield problem.question
        yield plan_text(problem.plan)
        if i % 5 == 0:
            yield chain_of_thought(problem.plan) + ANSWER_ONLY
            do = draw_operation(rng, "text", "train")
            yield claim(do, evaluate(do)) + verifier_answer(do, evaluate(do)) + ";fail"
        if i % 4 == 0:
            yield " ".join(draw_direct(rng, "seen"))
    for _ in range(20):
        yield from (answer for _, _, answer in PROMPTS)


def train_tokenizer(seed: int = 0, problems: int = 30_000) -> Tokenizer:
    """Learns the merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("|".join(PIECES)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(seed, problems), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_tokens: int) -> None:
    """Writes tokenizer.json, tokenizer_config.json and the chat template the way transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "pad_token": PAD,
        "eos_token": END,
        "additional_special_tokens": [USER, ASSISTANT],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    special = {"pad_token": PAD, "eos_token": END, "additional_special_tokens": [USER, ASSISTANT]}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer as saved."""
    return Tokenizer.from_file(str(path))


def prompt_text(content: str) -> str:
    """A question as the chat template renders it."""
    return f"{USER}{content}{ASSISTANT}"
