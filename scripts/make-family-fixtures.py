#!/usr/bin/env python3
"""Writes test/fixtures/families/<name>: tiny random models, and what transformers makes of them.

Needs transformers 5.24.0 and torch 2.15.0 (pip install transformers==5.24.0 torch==2.15.0), nothing of a published model:

    python3 scripts/make-family-fixtures.py [name...]

A folder holds config.json and model.safetensors (BF16) as transformers saves them, and expected.json: a prompt, its logits
(base64 of little-endian f32, a row a token), the 64 tokens that follow greedily, logits of the prompt's last token where one
layer's attention is left out, and the context length with which the model is to be loaded. Weights are drawn until no greedy
choice is close.
"""

import base64
import json
import pathlib
import sys

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "families"
PROMPT = 24
GREEDY = 64
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
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 48,
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

# Each: config class, fields beside the common ones, context.
FAMILIES = {
    "llama": ("LlamaConfig", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "mistral": ("MistralConfig", {"head_dim": 12, "sliding_window": None, "tie_word_embeddings": False}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {"head_dim": 12, "tie_word_embeddings": False}),
    "yarn": (
        "Qwen3Config",
        {
            "head_dim": 12,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 200.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "granite": (
        "GraniteConfig",
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.2,
            "logits_scaling": 3.0,
            "tie_word_embeddings": True,
            "attention_bias": True,
        },
    ),
    "granite4": (
        "GraniteMoeHybridConfig",
        {
            "layer_types": ["full_attention"] * 2,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 48,
            "position_embedding_type": "rope",
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.263,
            "attention_multiplier": 0.2,
            "logits_scaling": 4.0,
            "tie_word_embeddings": True,
            "mamba_n_heads": 4,
        },
    ),
    # Short factors, for a context that is not past the original one; and long ones.
    "phi3": ("Phi3Config", {**PHI3, "rope_parameters": {**SHORT, "partial_rotary_factor": 0.75}}, CONTEXT),
    "phi3-long": (
        "Phi3Config",
        {**PHI3, "original_max_position_embeddings": 16, "rope_parameters": LONGROPE, "tie_word_embeddings": False},
    ),
    "phi3-window": ("Phi3Config", {**PHI3, "sliding_window": 6, "rope_theta": 500.0}),
    # A window narrower than the prompt, two bases of RoPE, norms before and after.
    "gemma3": (
        "Gemma3TextConfig",
        {
            "num_hidden_layers": 3,
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
            },
        },
    ),
    "mistral-window": ("MistralConfig", {"sliding_window": 6, "tie_word_embeddings": False}),
    "qwen3-window": (
        "Qwen3Config",
        {"head_dim": 12, "sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1},
    ),
    "olmo2": ("Olmo2Config", {"tie_word_embeddings": False}),
    # One layer does not rotate; where others do is within one chunk.
    "llama4": (
        "Llama4TextConfig",
        {
            "num_hidden_layers": 3,
            "head_dim": 12,
            "intermediate_size": 40,
            "intermediate_size_mlp": 48,
            "moe_layers": [],
            "no_rope_layers": [1, 0, 1],
            "tie_word_embeddings": True,
        },
    ),
    # Convolutions of three positions, and of four with a bias.
    "lfm2": (
        "Lfm2Config",
        {
            "num_hidden_layers": 4,
            "intermediate_size": 66,
            "block_multiple_of": 16,
            "layer_types": ["conv", "full_attention", "conv", "conv"],
        },
    ),
    "lfm2-bias": (
        "Lfm2Config",
        {
            "num_hidden_layers": 3,
            "block_auto_adjust_ff_dim": False,
            "conv_bias": True,
            "conv_L_cache": 4,
            "layer_types": ["conv", "full_attention", "conv"],
            "tie_word_embeddings": False,
        },
    ),
    "smollm3": ("SmolLM3Config", {"num_hidden_layers": 4, "no_rope_layer_interval": 2, "rope_theta": 5000.0}),
}


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


def greedy(model: torch.nn.Module, prompt: list[int]) -> tuple[list[int], float]:
    """The tokens, and the least lead of one over the next."""
    ids, lead = list(prompt), 1.0
    for _ in range(GREEDY):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = torch.topk(logits, 2).values
        lead = min(lead, float((best[0] - best[1]) / logits.abs().max()))
        if lead < LEAD:
            break
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :], lead


def without_attention(model: torch.nn.Module, layer: int, prompt: list[int]) -> torch.Tensor:
    attention = model.model.layers[layer].self_attn
    hook = attention.register_forward_hook(lambda _, __, out: (torch.zeros_like(out[0]), *out[1:]))
    logits = model(torch.tensor([prompt]), use_cache=False).logits[0, -1]
    hook.remove()
    return logits


def packed(values: torch.Tensor) -> str:
    return base64.b64encode(values.contiguous().numpy().astype("<f4").tobytes()).decode()


def make(name: str) -> None:
    config_class, fields, *context = FAMILIES[name]
    config = getattr(transformers, config_class)(**{**COMMON, **fields})
    for seed in range(200):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        draw(model, seed)
        prompt = torch.randint(3, VOCAB, (PROMPT,), generator=torch.Generator().manual_seed(seed)).tolist()
        tokens, lead = greedy(model, prompt)
        # A reply that repeats one token says little.
        if lead > LEAD and len(set(tokens)) > 12:
            break
    else:
        raise SystemExit(f"{name}: every choice was close")
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    expected = {
        "context": context[0] if context else CONTEXT,
        "prompt": prompt,
        "greedy": tokens,
        "logits": packed(model(torch.tensor([prompt]), use_cache=False).logits[0]),
        "skipped": {"layer": 1, "logits": packed(without_attention(model, 1, prompt))},
    }
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, lead {lead:.4f}, {len(set(tokens))} tokens, {size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        for wanted in sys.argv[1:] or FAMILIES:
            make(wanted)
