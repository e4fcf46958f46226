#!/usr/bin/env python3
"""Writes test/fixtures/adapters/<name>: LoRA adapters of the tiny models in test/fixtures/families, and what peft makes of them.

Needs peft 0.21.2, transformers 5.24.0 and torch 2.15.0 (pip install peft==0.21.2 transformers==5.24.0 torch==2.15.0):

    python3 scripts/make-adapter-fixtures.py [name...]

A folder holds adapter_config.json and adapter_model.safetensors (BF16) as peft saves them, and expected.json: the family, a
prompt, logits of its last tokens with the adapter (base64 of little-endian f32, a row a token), the tokens that follow greedily, logits of the
last token where one layer's attention is left out, and sums of the rows of some merged matrices. Factors are drawn until no
greedy choice is close.
"""

import json
import pathlib

import peft
import torch
import transformers
from fixtures import LEAD, greedy, logits_of, make_all, packed, without_attention

ROOT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures"
GREEDY = 24
# Tokens of the prompt whose logits are kept, the last ones.
ROWS = 6

# Each: the family's fixture, and fields of LoraConfig.
ADAPTERS = {
    "llama-all": ("llama", {"r": 5, "lora_alpha": 10, "target_modules": "all-linear"}),
    "llama-attention": (
        "llama",
        {
            "r": 4,
            "lora_alpha": 12,
            "use_rslora": True,
            "target_modules": ["q_proj", "v_proj", "o_proj"],
            "rank_pattern": {"layers.1.self_attn.v_proj": 7},
            "alpha_pattern": {"q_proj": 3, r"model\.layers\.\d+\.self_attn\.o_proj": 20},
        },
    ),
    "llama-mlp": (
        "llama",
        {"r": 6, "lora_alpha": 6, "target_modules": ["gate_proj", "down_proj"], "layers_to_transform": [1]},
    ),
    # Q, K and V as one matrix, gate and up as one; a part of each head rotates.
    "phi3": ("phi3", {"r": 3, "lora_alpha": 9, "target_modules": r".*\.(qkv_proj|o_proj|gate_up_proj|down_proj)"}),
    # Factors that are folded into weights.
    "granite": ("granite", {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "o_proj", "up_proj", "down_proj"]}),
    # Projections of short convolutions.
    "lfm2": ("lfm2", {"r": 3, "lora_alpha": 6, "target_modules": "all-linear"}),
    # Neighbours rotate together: rows of q and k go elsewhere.
    "llama4": ("llama4", {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "k_proj", "v_proj"]}),
    # Norms of q and k, and after attention and MLP; gelu.
    "gemma3": ("gemma3", {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "exclude_modules": ["k_proj"]}),
}


def draw(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if "lora_" in name:
            normal = torch.randn(value.shape, generator=generator)
            scale = 1 / value.shape[1] ** 0.5 if "lora_A" in name else 0.12
            value.data = (scale * normal).to(torch.bfloat16).to(torch.float32)


def make(name: str) -> None:
    family, fields = ADAPTERS[name]
    base = ROOT / "families" / family
    known = json.loads((base / "expected.json").read_text())
    prompt = known["prompt"]
    for seed in range(200):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **fields)).eval()
        draw(model, seed)
        tokens, lead = greedy(model, prompt, GREEDY)
        if lead > LEAD and tokens != known["greedy"][:GREEDY] and len(set(tokens)) > 5:
            break
    else:
        raise SystemExit(f"{name}: every choice was close")
    folder = ROOT / "adapters" / name
    folder.mkdir(parents=True, exist_ok=True)
    attention = model.get_base_model().model.layers[1].self_attn
    expected = {
        "family": family,
        "prompt": prompt,
        "greedy": tokens,
        "logits": packed(logits_of(model, prompt)[-ROWS:]),
        "skipped": {"layer": 1, "logits": packed(without_attention(model, attention, prompt))},
    }
    config = model.peft_config["default"]
    config.base_model_name_or_path = f"shishulm/{family}"
    if isinstance(fields["target_modules"], str):
        config.target_modules = fields["target_modules"]
    for _, value in model.named_parameters():
        value.data = value.data.to(torch.bfloat16)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    for _, value in model.named_parameters():
        value.data = value.data.to(torch.float32)
    merged = model.merge_and_unload().state_dict()
    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    changed = {key: value for key, value in merged.items() if not torch.equal(value, plain[key])}
    expected["merged"] = {key: packed(value.sum(dim=1)) for key, value in changed.items()}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, lead {lead:.4f}, {len(set(tokens))} tokens, {len(changed)} matrices, {size} bytes")


make_all(make, ADAPTERS)
