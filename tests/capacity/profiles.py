"""Small profiles for tests."""

from __future__ import annotations

from typing import Any

from appliance.capacity.engine_profile import EngineProfile, Source, StepCost
from appliance.capacity.profile import Profile
from appliance.capacity.trees import CallShape, TreeSample
from appliance.domain.model import Role

STEP = StepCost(
    fixed_s=0.004,
    prefill_token_s=2e-5,
    decode_sequence_s=1e-4,
    kv_token_s=1e-6,
    prefill_context_s=1e-8,
    band=0.05,
)


def engine(model_id: str = "small", **changes: Any) -> EngineProfile:
    facts: dict[str, Any] = {
        "revision": "r1",
        "hardware": "cpu",
        "vllm_version": "0.32.0",
        "step": STEP,
        "kv_tokens": 4096,
        "block_size": 16,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 256,
        "max_model_len": 1024,
        "source": Source.MEASURED,
    }
    return EngineProfile(model_id=model_id, **facts | changes)


def call(model_id: str = "small", prompt: int = 40, completion: int = 20, **changes: Any) -> CallShape:
    role = changes.pop("role", Role.GENERALIST)
    return CallShape(role, model_id, prompt, completion, **changes)


def direct(model_id: str = "small", prompt: int = 40, completion: int = 20) -> TreeSample:
    return TreeSample((call(model_id, prompt, completion),), streamed_by=0)


def profile(*engines: EngineProfile, **trees: tuple[TreeSample, ...]) -> Profile:
    return Profile(engines or (engine(),), trees or {"direct": (direct(),)})
