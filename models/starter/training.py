"""Trains one model within a time budget: Muon for the matrices, AdamW for the rest, resumable."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.optim import AdamW, Muon

from models.starter.batches import IGNORE, Batch, batches
from models.starter.model import Llama, Size

CHECKPOINT_EVERY_S = 60.0
CHECKPOINT = "checkpoint.pt"
LOG = "log.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model is trained."""

    name: str
    size: Size
    minutes: float
    threads: int = 1
    batch_tokens: int = 3000
    matrix_rate: float = 0.02
    other_rate: float = 0.004
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """What has been done so far, over all resumed runs."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    answer_tokens: int = 0
    chunk: int = 0
    loss: float = 0.0


def rate_factor(fraction: float, steps: int) -> float:
    """A short warm-up, a plateau, then down to nothing over the last 80% of the time."""
    return min(1.0, (steps + 1) / 60) * min(1.0, max(0.0, 1.0 - fraction) / 0.8)


class Trainer:
    """One model, its optimizers and its progress."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        torch.manual_seed(plan.seed)
        torch.set_num_threads(plan.threads)
        self.plan, self.folder, self.progress = plan, folder, Progress()
        self.model = Llama(plan.size)
        matrices = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=plan.matrix_rate, weight_decay=0.01, momentum=0.95),
            AdamW(others, lr=plan.other_rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
        ]
        self.rates = (plan.matrix_rate, plan.other_rate)

    @property
    def fraction(self) -> float:
        """How much of the time budget is used."""
        return self.progress.seconds / (self.plan.minutes * 60)

    def step(self, batch: Batch) -> float:
        """One update; returns the loss per answer token."""
        factor = rate_factor(self.fraction, self.progress.steps)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        wanted = batch.targets != IGNORE
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.model(batch.tokens, wanted)
        loss = functional.cross_entropy(logits.float(), batch.targets[wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.tokens += batch.tokens.numel()
        self.progress.answer_tokens += int(wanted.sum())
        return float(loss)

    def save(self) -> None:
        """Writes the checkpoint and the log, each in one move."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": asdict(self.progress),
        }
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT)
        log = {"plan": asdict(self.plan), "parameters": self.plan.size.parameters, **asdict(self.progress)}
        (self.folder / LOG).write_text(json.dumps(log, indent=2) + "\n")

    def resume(self, fresh_schedule: bool = False) -> bool:
        """Takes up an earlier checkpoint; with a fresh schedule only its weights."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        if not fresh_schedule:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.progress = Progress(**state["progress"])
            self.progress.chunk += 1
        return True

    def run(self, tokenizer_path: Path, report: Callable[[str], None] = print) -> None:
        """Trains until the time budget is used."""
        saved = reported = last = time.monotonic()
        cpu = time.process_time()
        smooth = math.nan
        start = self.progress.chunk
        for chunk, batch in batches(self.plan.name, tokenizer_path, self.plan.seed, start, self.plan.batch_tokens):
            if self.fraction >= 1:
                break
            loss = self.step(batch)
            smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
            now, now_cpu = time.monotonic(), time.process_time()
            self.progress.seconds += now - last
            self.progress.cpu_seconds += now_cpu - cpu
            self.progress.steps, self.progress.chunk, self.progress.loss = self.progress.steps + 1, chunk, smooth
            last, cpu = now, now_cpu
            if now - reported > 20:
                left = self.plan.minutes * 60 - self.progress.seconds
                report(
                    f"{self.plan.name}: {self.fraction:.0%} loss {smooth:.4f} steps {self.progress.steps} "
                    f"tokens {self.progress.tokens / 1e6:.1f}M {self.progress.tokens / self.progress.seconds:.0f}/s "
                    f"eta {left / 60:.1f} min"
                )
                reported = now
            if now - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = now
        self.save()
