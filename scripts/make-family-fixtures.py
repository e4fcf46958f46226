#!/usr/bin/env python3
"""Writes test/fixtures/families/<name>: tiny random models, and what transformers makes of them.

Needs transformers 5.24.0 and torch 2.15.0 (pip install transformers==5.24.0 torch==2.15.0), nothing of a published model:

    python3 scripts/make-family-fixtures.py [name...]

A folder holds config.json and model.safetensors (BF16) as transformers saves them, and expected.json: a prompt, its logits
(base64 of little-endian f32, a row a token), the 64 tokens that follow greedily, logits of the prompt's last token where one
layer's attention is left out, and the context length with which the model is to be loaded. Weights are drawn until no greedy
choice is close.
"""

import json
import pathlib

import torch
from fixtures import (
    CONTEXT,
    LEAD,
    LONGROPE,
    PHI3,
    SHORT,
    greedy,
    logits_of,
    make_all,
    packed,
    random_model,
    random_prompt,
    without_attention,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "families"
PROMPT = 24
GREEDY = 64

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 48,
}

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


def make(name: str) -> None:
    config_class, fields, *context = FAMILIES[name]
    for seed in range(200):
        model = random_model(config_class, fields, seed)
        prompt = random_prompt(PROMPT, seed)
        tokens, lead = greedy(model, prompt, GREEDY)
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
        "logits": packed(logits_of(model, prompt)),
        "skipped": {"layer": 1, "logits": packed(without_attention(model, model.model.layers[1].self_attn, prompt))},
    }
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, lead {lead:.4f}, {len(set(tokens))} tokens, {size} bytes")


make_all(make, FAMILIES)
