"""The plain-torch model, its export, and transformers agree."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="tests/e2e/test_starter_code.py runs it where torch is")
transformers = pytest.importorskip("transformers", reason="tests/e2e/test_starter_code.py runs it where torch is")

from models.starter.export import export, load  # noqa: E402 - after the check for torch
from models.starter.model import Llama, Size  # noqa: E402 - as above
from models.starter.sampling import Sampler  # noqa: E402 - as above

TOKENIZER = Path(__file__).parents[2] / "models" / "starter" / "weights" / "starter-math" / "tokenizer.json"
SIZE = Size(64, 2, 96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    export(Llama(SIZE), TOKENIZER, tmp_path)
    return tmp_path


def test_parameters_are_counted_right() -> None:
    assert SIZE.parameters == sum(p.numel() for p in Llama(SIZE).parameters())


def test_transformers_computes_the_same(folder: Path) -> None:
    tokens = torch.randint(4, 1000, (2, 17))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(tokens).logits
    ours = load(folder, torch.float32)(tokens, torch.ones_like(tokens, dtype=torch.bool))
    assert torch.allclose(theirs.flatten(0, 1), ours, atol=1e-4)


def test_the_cache_changes_nothing(folder: Path) -> None:
    sampler = Sampler(folder)
    sampler.model = load(folder, torch.float32)
    prompts = ["12*7", "reverse QEXAR", "3+4"]
    together = sampler.answer(prompts, max_tokens=12)
    for prompt, completion in zip(prompts, together, strict=True):
        ids = sampler.tokenizer.encode(f"<|user|>{prompt}<|assistant|>").ids
        start = len(ids)
        for _ in range(completion.tokens):
            tokens = torch.tensor([ids])
            ids.append(int(sampler.model(tokens, torch.ones_like(tokens, dtype=torch.bool))[-1].argmax()))
        written = [i for i in ids[start:] if i != 1]
        assert sampler.tokenizer.decode(written) == completion.text


def test_the_chat_template_renders_the_contract(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "system", "content": "ignored"}, {"role": "user", "content": "12*7"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|user|>12*7<|assistant|>"
