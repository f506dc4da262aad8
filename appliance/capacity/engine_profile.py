"""What one engine does with its time: the cost of a step, and the room that it has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from appliance.capacity.figures import DOCUMENT, Amount, AtLeastOne, Part, Positive, Share


class Source(StrEnum):
    """Where the figures of an engine come from."""

    MEASURED = "measured"
    UNMEASURED = "unmeasured"
    """Reckoned from data sheets: nobody has seen this engine run."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of one iteration of an engine, a sum of non-negative parts; `band` is their relative uncertainty.

    `fixed_s` for each step, and so much for each token that is prefilled, each sequence that decodes, each token of
    the KV cache that the decoding sequences read, and each pair of a prefilled token and a token that it looks at.
    """

    __pydantic_config__: ClassVar[ConfigDict] = DOCUMENT

    fixed_s: Positive
    prefill_token_s: Amount
    decode_sequence_s: Amount
    kv_token_s: Amount
    prefill_context_s: Amount
    band: Amount

    def step_s(self, prefill_tokens: float, prefill_context: float, sequences: float, kv_tokens: float) -> float:
        """One step. `prefill_context` is the sum over prefilled tokens of what each looks at."""
        prefill = self.prefill_token_s * prefill_tokens + self.prefill_context_s * prefill_context
        return self.fixed_s + prefill + self.decode_sequence_s * sequences + self.kv_token_s * kv_tokens

    def decode_s(self, steps: float, sequences: float, kv_tokens: float) -> float:
        """So many steps in a row in which `sequences` decode, the first of which reads `kv_tokens`."""
        first = self.step_s(0, 0, sequences, kv_tokens)
        return steps * first + self.kv_token_s * sequences * steps * (steps - 1) / 2


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One kind of engine: a model at a revision, on a kind of hardware, started with these options of vLLM.

    `kv_tokens` fit its KV cache, in blocks of `block_size`. `call_s` is what a call takes beside the engine's steps
    and `server_s` what the engine's API server does for it, one call after the other: HTTP, templates, tokens; each
    token that is generated takes `server_token_s` of the same server. A busy engine wants `device_share` of its device,
    its busy server `server_share` (none of a GPU): those on one device that together want more than all of it slow each
    other. `start_s` and `wake_s` are the seconds until it serves, started or woken. `prefix_caching`: prompts that
    begin alike are computed once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = DOCUMENT

    model_id: str
    revision: str
    hardware: str
    vllm_version: str
    step: StepCost
    kv_tokens: AtLeastOne
    block_size: AtLeastOne
    max_num_seqs: AtLeastOne
    max_num_batched_tokens: AtLeastOne
    max_model_len: AtLeastOne
    source: Source
    tensor_parallel_size: AtLeastOne = 1
    call_s: Amount = 0.0
    server_s: Amount = 0.0
    server_token_s: Amount = 0.0
    device_share: Share = 1.0
    server_share: Part = 0.0
    start_s: Amount = 0.0
    wake_s: Amount = 0.0
    prefix_caching: bool = True
    note: str = ""
