#!/usr/bin/env python3
"""Writes test/fixtures/children/<name>: tiny random ShishuLMs of several parents, and what transformers makes of them.

Needs transformers 5.24.0 and torch 2.15.0 (pip install transformers==5.24.0 torch==2.15.0), nothing of a published model:

    python3 scripts/make-child-fixtures.py [name...]

They run in src/convert/modeling_shishu.py, as a user's who trusts it. A folder holds config.json and model.safetensors (BF16) as
the engine writes them, and expected.json: a prompt, its logits (base64 of little-endian f32, a row a token), and the tokens that
follow greedily. Weights are drawn until no greedy choice is close. It also checks that transformers generates the same with its
cache, also where a prompt is padded on its left, and that a model that it saves is the same one.
"""

import json
import pathlib
import shutil
import tempfile

import torch
import transformers
from fixtures import COMMON, CONTEXT, LEAD, PHI3, SHORT, draw, greedy, logits_of, make_all, packed, random_prompt
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE / "test" / "fixtures" / "children"
MODELING = HERE / "src" / "convert" / "modeling_shishu.py"
PROMPT = 16
GREEDY = 24

# Each: the parent's config class and fields, and the child's own.
CHILDREN = {
    # Maps from the first block on, and a pair that shares.
    "llama": (
        "LlamaConfig",
        {"num_hidden_layers": 5, "tie_word_embeddings": True},
        {"layer_types": ["linear", "full_attention", "mlp", "mlp", "linear"], "shared_mlps": [[2, 3]]},
    ),
    "llama-rank": (
        "LlamaConfig",
        {"num_hidden_layers": 3, "attention_bias": True, "mlp_bias": True},
        {"layer_types": ["full_attention", "linear", "linear"], "shared_mlps": [[1, 2]], "linear_rank": 6},
    ),
    "qwen3": (
        "Qwen3Config",
        {"num_hidden_layers": 4, "head_dim": 12},
        {"layer_types": ["linear", "full_attention", "linear", "mlp"], "shared_mlps": [[0, 1, 3]], "linear_inputs": 2},
    ),
    "qwen3-rank": (
        "Qwen3Config",
        {"num_hidden_layers": 3, "head_dim": 12, "tie_word_embeddings": True},
        {"layer_types": ["mlp", "linear", "full_attention"], "linear_inputs": 4, "linear_rank": 10},
    ),
    # Norms after, which the map's output has not; a window narrower than the prompt.
    "gemma3": (
        "Gemma3TextConfig",
        {"num_hidden_layers": 4, "head_dim": 12, "query_pre_attn_scalar": 20, "sliding_window": 7},
        {
            "layer_types": ["linear", "full_attention", "mlp", "sliding_attention"],
            "parent_layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
            "shared_mlps": [[0, 2]],
        },
    ),
    # Factors of what blocks add.
    "granite": (
        "GraniteConfig",
        {
            "num_hidden_layers": 3,
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.2,
            "logits_scaling": 3.0,
        },
        {"layer_types": ["linear", "full_attention", "mlp"]},
    ),
    "olmo2": (
        "Olmo2Config",
        {"num_hidden_layers": 3},
        {"layer_types": ["full_attention", "linear", "mlp"], "shared_mlps": [[1, 2]]},
    ),
    # Rows of q and k stay in the order of neighbours that rotate together.
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
        {
            "layer_types": ["chunked_attention", "full_attention", "linear"],
            "parent_layer_types": ["chunked_attention", "full_attention", "chunked_attention"],
            "linear_inputs": 3,
        },
    ),
    # Matrices that are stored as one.
    "phi3": (
        "Phi3Config",
        {**PHI3, "num_hidden_layers": 3, "rope_parameters": {**SHORT, "partial_rotary_factor": 0.75}},
        {"layer_types": ["linear", "full_attention", "mlp"], "shared_mlps": [[0, 2]]},
    ),
}


def config_of(name: str) -> dict:
    """As the engine writes it, but for tests of both."""
    config_class, fields, child = CHILDREN[name]
    parent = getattr(transformers, config_class)(**{**COMMON, **fields})
    json_of = json.loads(parent.to_json_string(use_diff=True))
    for dropped in ("layer_types", "transformers_version"):
        json_of.pop(dropped, None)
    return {
        **json_of,
        "model_type": "shishu",
        "architectures": ["ShishuForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_shishu.ShishuConfig",
            "AutoModelForCausalLM": "modeling_shishu.ShishuForCausalLM",
        },
        "parent_model_type": parent.model_type,
        "dtype": "bfloat16",
        **child,
    }


def load(folder: pathlib.Path) -> torch.nn.Module:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def check(model: torch.nn.Module, prompt: list[int], tokens: list[int]) -> None:
    """Transformers' own generation, with a cache, of a prompt alone and of one beside a longer one; and a saved model."""
    model.generation_config.eos_token_id = None
    options = {"max_new_tokens": len(tokens), "do_sample": False, "pad_token_id": 0}
    for padding in (0, 5):
        ids = torch.tensor([[0] * padding + prompt, random_prompt(padding + len(prompt), 9)])
        mask = torch.ones_like(ids)
        mask[0, :padding] = 0
        found = model.generate(ids, attention_mask=mask, **options)[0, ids.shape[1] :].tolist()
        assert found == tokens, f"with a cache, padding {padding}: {found} for {tokens}"
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        assert torch.equal(logits_of(load(pathlib.Path(saved)), prompt), logits_of(model, prompt)), "saved"


def make(name: str) -> None:
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = config_of(name)
    for seed in range(200):
        with tempfile.TemporaryDirectory() as temporary:
            shutil.copy(MODELING, temporary)
            (pathlib.Path(temporary) / "config.json").write_text(json.dumps(config))
            own = transformers.AutoConfig.from_pretrained(temporary, trust_remote_code=True)
            model = transformers.AutoModelForCausalLM.from_config(own, trust_remote_code=True, dtype=torch.float32)
        draw(model, seed)
        prompt = random_prompt(PROMPT, seed)
        tokens, lead = greedy(model.eval(), prompt, GREEDY)
        if lead > LEAD and len(set(tokens)) > 8:
            break
    else:
        raise SystemExit(f"{name}: every choice was close")
    tied = bool(config.get("tie_word_embeddings"))
    weights = {
        key: value.to(torch.bfloat16).contiguous()
        for key, value in model.state_dict().items()
        if not (tied and key == "lm_head.weight")
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    shutil.copy(MODELING, folder)
    loaded = load(folder)
    logits = logits_of(loaded, prompt)
    assert torch.allclose(logits, logits_of(model, prompt), atol=1e-5), "loaded"
    check(loaded, prompt, tokens)
    (folder / MODELING.name).unlink()
    expected = {"context": CONTEXT, "prompt": prompt, "greedy": tokens, "logits": packed(logits)}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, lead {lead:.4f}, {len(set(tokens))} tokens, {size} bytes")


make_all(make, CHILDREN)
