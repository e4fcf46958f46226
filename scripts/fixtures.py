"""What the scripts that make fixtures of tiny random models share."""

import base64
import sys
from collections.abc import Callable, Iterable

import torch
import transformers

VOCAB = 96
# The least lead of a greedy choice over the next, relative to the largest logit.
LEAD = 2e-3
CONTEXT = 96

COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
PHI3 = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "original_max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
}
LONG = [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 9.0, 10.0]
LONGROPE = {"rope_type": "longrope", "rope_theta": 500.0, "short_factor": [1.0] * 8, "long_factor": LONG}
SHORT = {**LONGROPE, "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 2.0], "long_factor": LONG[:6]}


def draw(model: torch.nn.Module, seed: int) -> None:
    """Weights with which activations and logits stay near 1, and every gain and bias counts."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    # As much of a token's own embedding in the last hidden state as without multipliers: a tied model would echo.
    share = getattr(config, "residual_multiplier", 1.0) / getattr(config, "embedding_multiplier", 1.0)
    # Gemma multiplies embeddings by this.
    share /= float(getattr(model.get_input_embeddings(), "embed_scale", 1.0))
    # Norms that add 1 to their gains are told by what they start with.
    for name, value in model.named_parameters():
        normal = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            mean = float(value.data.mean()) if "norm" in name else 0.0
            value.data = mean + 0.2 * normal
        elif "embed_tokens" in name:
            value.data = 0.3 * share * normal
        else:
            gain = 2 if any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "lm_head")) else 1
            value.data = gain * normal / value.shape[1] ** 0.5
        value.data = value.data.to(torch.bfloat16).to(torch.float32)


def random_model(config_class: str, fields: dict, seed: int) -> torch.nn.Module:
    config = getattr(transformers, config_class)(**{**COMMON, **fields})
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    draw(model, seed)
    return model


def random_prompt(count: int, seed: int) -> list[int]:
    return torch.randint(3, VOCAB, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def logits_of(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """A row a token."""
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model: torch.nn.Module, prompt: list[int], count: int) -> tuple[list[int], float]:
    """The tokens, and the least lead of one over the next."""
    ids, lead = list(prompt), 1.0
    for _ in range(count):
        logits = logits_of(model, ids)[-1]
        best = torch.topk(logits, 2).values
        lead = min(lead, float((best[0] - best[1]) / logits.abs().max()))
        if lead < LEAD:
            break
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :], lead


def without_attention(model: torch.nn.Module, attention: torch.nn.Module, prompt: list[int]) -> torch.Tensor:
    """Logits of the last token where one layer's attention is left out."""
    hook = attention.register_forward_hook(lambda _, __, out: (torch.zeros_like(out[0]), *out[1:]))
    logits = logits_of(model, prompt)[-1]
    hook.remove()
    return logits


def packed(values: torch.Tensor) -> str:
    """Base64 of little-endian f32."""
    return base64.b64encode(values.contiguous().numpy().astype("<f4").tobytes()).decode()


def make_all(make: Callable[[str], None], names: Iterable[str]) -> None:
    """Those of the command line, else all."""
    torch.set_num_threads(1)
    with torch.no_grad():
        for name in sys.argv[1:] or names:
            make(name)
