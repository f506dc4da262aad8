"""Generates answers in batches with a key-value cache, greedily or at a temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.starter.checking import FAIL, PASS
from models.starter.export import load
from models.starter.tokenizer import END_ID, PAD_ID, load_tokenizer, prompt_text

ROWS = 160


@dataclass(frozen=True, slots=True)
class Completion:
    """What was generated: the text, tokens written (the end included), tokens read, and P(pass) of a verdict."""

    text: str
    tokens: int
    prompt_tokens: int
    pass_probability: float = 0.0
    finished: bool = True


class Sampler:
    """A model in a folder, ready to answer."""

    def __init__(self, folder: Path) -> None:
        self.model = load(folder)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.pass_id = self.tokenizer.token_to_id(PASS)
        self.fail_id = self.tokenizer.token_to_id(FAIL)

    def answer(
        self, prompts: Sequence[str], temperature: float = 0.0, seed: int = 0, max_tokens: int = 480
    ) -> list[Completion]:
        """One completion for each prompt, in order."""
        encoded = [e.ids for e in self.tokenizer.encode_batch([prompt_text(prompt) for prompt in prompts])]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        generator = torch.Generator().manual_seed(seed)
        found: dict[int, Completion] = {}
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            with torch.inference_mode():
                batch = self._batch([encoded[i] for i in rows], temperature, generator, max_tokens)
            found.update(zip(rows, batch, strict=True))
        return [found[i] for i in range(len(encoded))]

    def _batch(
        self, prompts: list[list[int]], temperature: float, generator: torch.Generator, max_tokens: int
    ) -> list[Completion]:
        lengths = torch.tensor([len(ids) for ids in prompts])
        width = int(lengths.max())
        tokens = torch.full((len(prompts), width), PAD_ID)
        for row, ids in enumerate(prompts):
            tokens[row, : len(ids)] = torch.tensor(ids)
        room = width + max_tokens
        hidden, cache = self.model.prefill(tokens, width + 64)
        logits = self.model.head(hidden[torch.arange(len(prompts)), lengths - 1])
        positions, live = lengths.clone(), torch.arange(len(prompts))
        written: list[list[int]] = [[] for _ in prompts]
        verdicts = [0.0] * len(prompts)
        while True:
            chosen = pick(logits.float(), temperature, generator)
            doubts = torch.sigmoid((logits[:, self.pass_id] - logits[:, self.fail_id]).float()).tolist()
            for row, token, doubt in zip(live.tolist(), chosen.tolist(), doubts, strict=True):
                if written[row][-1:] == [END_ID]:
                    continue
                written[row].append(token)
                if token in (self.pass_id, self.fail_id):
                    verdicts[row] = doubt
            going = torch.tensor([written[row][-1] != END_ID for row in live.tolist()])
            if not bool(going.any()) or int(positions.max()) + 1 >= room:
                break
            if int(going.sum()) < 0.8 * len(live):
                chosen, positions, live = chosen[going], positions[going], live[going]
                cache = [(k[going], v[going]) for k, v in cache]
                going = going[going]
            if int(positions.max()) + 1 > cache[0][0].shape[2]:
                cache = [(grown(k), grown(v)) for k, v in cache]
            logits = self.model.step(chosen, positions, cache)
            positions = positions + 1
        return [self._completion(w, len(p), v) for w, p, v in zip(written, prompts, verdicts, strict=True)]

    def _completion(self, written: list[int], prompt_tokens: int, verdict: float) -> Completion:
        finished = END_ID in written
        kept = written[: written.index(END_ID)] if finished else written
        return Completion(self.tokenizer.decode(kept), len(kept) + finished, prompt_tokens, verdict, finished)


def grown(cached: Tensor) -> Tensor:
    """A cache with place for 64 more positions."""
    return torch.nn.functional.pad(cached, (0, 0, 0, 64))


def pick(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """The next token of each row."""
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
