"""Writes a trained model in the Hugging Face format, in bf16, and reads it back."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.starter.model import HEAD_DIM, MAX_POSITIONS, NORM_EPS, ROPE_THETA, Llama, Size
from models.starter.tokenizer import END_ID, PAD_ID, VOCAB_SIZE, load_tokenizer, save_tokenizer

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def hugging_face_name(name: str) -> str:
    """`layers.0.q_proj.weight` → `model.layers.0.self_attn.q_proj.weight`."""
    parts = name.split(".")
    if parts[0] == "layers" and parts[2] in ATTENTION:
        parts.insert(2, "self_attn")
    elif parts[0] == "layers" and parts[2] in FEED_FORWARD:
        parts.insert(2, "mlp")
    return ".".join(["model", *parts])


def config_of(size: Size) -> dict[str, object]:
    """config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def export(model: Llama, tokenizer_path: Path, folder: Path) -> None:
    """Writes weights, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(load_tokenizer(tokenizer_path), folder, MAX_POSITIONS)
    (folder / "config.json").write_text(json.dumps(config_of(model.size), indent=2) + "\n")
    generation = {"eos_token_id": END_ID, "pad_token_id": PAD_ID, "do_sample": False, "max_new_tokens": 512}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    weights = {hugging_face_name(n): p.detach().to(torch.bfloat16).contiguous() for n, p in model.state_dict().items()}
    part = folder / "model.safetensors.part"
    save_file(weights, str(part), metadata={"format": "pt"})
    part.chmod(0o644)
    part.replace(folder / "model.safetensors")


def load(folder: Path, dtype: torch.dtype = torch.bfloat16) -> Llama:
    """The model in a folder written by `export`."""
    config = json.loads((folder / "config.json").read_text())
    size = Size(config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"])
    model = Llama(size)
    stored = load_file(str(folder / "model.safetensors"))
    state: dict[str, Tensor] = {name: stored[hugging_face_name(name)] for name in model.state_dict()}
    model.load_state_dict(state)
    model.to(dtype).eval()
    return model
