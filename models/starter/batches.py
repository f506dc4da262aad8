"""Token batches of similar length, made ahead by a worker process."""

import ctypes
import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from models.starter.examples import draw_example
from models.starter.tokenizer import END, PAD_ID, load_tokenizer, prompt_text

CHUNK_EXAMPLES = 8192
IGNORE = -100
PR_SET_PDEATHSIG = 1
Encoded = tuple[list[int], int]
"""All tokens of an example, and how many of them are the prompt's."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens (batch, length) and, at each position, the next token to learn or IGNORE."""

    tokens: Tensor
    targets: Tensor


def encode_chunk(name: str, tokenizer_path: str, seed: int, index: int) -> list[Encoded]:
    """One chunk of examples; the same arguments give the same chunk."""
    rng = random.Random(f"{name}/{seed}/{index}")
    tokenizer = load_tokenizer(Path(tokenizer_path))
    examples = [draw_example(name, rng) for _ in range(CHUNK_EXAMPLES)]
    prompts = tokenizer.encode_batch([prompt_text(prompt) for prompt, _ in examples])
    answers = tokenizer.encode_batch([answer + END for _, answer in examples])
    return [(p.ids + a.ids, len(p.ids)) for p, a in zip(prompts, answers, strict=True)]


def end_with_parent() -> None:
    """Lets the kernel end this process when the training process is gone, killed or not (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pad_batch(examples: list[Encoded]) -> Batch:
    """Right-padded to a multiple of 8."""
    width = (max(len(ids) for ids, _ in examples) + 6) // 8 * 8
    tokens = torch.full((len(examples), width), PAD_ID)
    targets = torch.full((len(examples), width), IGNORE)
    for row, (ids, prompt) in enumerate(examples):
        n = len(ids) - 1
        tokens[row, :n] = torch.tensor(ids[:-1])
        targets[row, prompt - 1 : n] = torch.tensor(ids[prompt:])
    return Batch(tokens, targets)


def group_by_length(examples: list[Encoded], batch_tokens: int, rng: random.Random) -> list[list[Encoded]]:
    """Groups of similar length with about `batch_tokens` tokens each, in random order."""
    ordered = sorted(examples, key=lambda example: len(example[0]) + rng.random() * 4)
    groups: list[list[Encoded]] = [[]]
    for example in ordered:
        if groups[-1] and len(example[0]) * (len(groups[-1]) + 1) > batch_tokens:
            groups.append([])
        groups[-1].append(example)
    rng.shuffle(groups)
    return groups


def batches(
    name: str, tokenizer_path: Path, seed: int, start: int, batch_tokens: int, stride: int = 1
) -> Iterator[tuple[int, Batch]]:
    """Endless batches with the number of the chunk that they come from: `start`, `start + stride` and so on."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:

        def submit(index: int) -> "Future[list[Encoded]]":
            return pool.submit(encode_chunk, name, str(tokenizer_path), seed, index)

        index, ahead = start, submit(start)
        while True:
            examples = ahead.result()
            ahead = submit(index + stride)
            for group in group_by_length(examples, batch_tokens, random.Random(index)):
                yield index, pad_batch(group)
            index += stride
