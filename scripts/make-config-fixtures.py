#!/usr/bin/env python3
"""Writes into test/fixtures/published-configs.json what transformers makes of each published config.

Needs transformers 5.24.0 and torch 2.15.0 (pip install transformers==5.24.0 torch==2.15.0), no weights and no network:

    python3 scripts/make-config-fixtures.py

The file has a model a line: the repository, where its config comes from ("copy": the text of a copy in public code, "fields":
the fields that public code quotes of it, the others as transformers writes them, "documented": put together from its
documentation), the config, and `judged`: parameters, a digest of the names and shapes of the tensors, elements of K and V of one
token, windows of its blocks, and for each way that blocks rotate the sum of the frequencies and the factor of cosines and sines.
Models are built on the meta device. Those that this engine refuses are left out.
"""

import hashlib
import json
import pathlib

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

FILE = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "published-configs.json"
REFUSED = {"gemma2", "gemma3", "qwen3_moe", "deepseek_v3"}


def config_of(given):
    config = dict(given)
    # transformers has no MobileLLM: its own code is that of Llama, with a flag of its own for the head.
    if config["model_type"] == "mobilellm":
        config.update(model_type="llama", tie_word_embeddings=config.pop("share_embedding"))
    return CONFIG_MAPPING[config["model_type"]].from_dict(config)


def ropes_of(model, config):
    """Sums of the inverse frequencies and factors, of contexts up to the original one."""
    rotary = next(each for each in model.modules() if type(each).__name__.endswith("RotaryEmbedding"))
    made = type(rotary)(config)
    kinds = [name.removesuffix("inv_freq") for name, _ in made.named_buffers() if name.endswith("inv_freq")]
    return sorted(
        [float(getattr(made, f"{kind}inv_freq").double().sum()), float(getattr(made, f"{kind}attention_scaling"))]
        for kind in kinds
        if not kind.endswith("original_")
    )


def judge(given):
    config = config_of(given)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        ids = torch.zeros(1, 1, dtype=torch.long)
    # Shared parameters once.
    shapes = {name: list(each.shape) for name, each in model.named_parameters()}
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    cache = [layer for layer in model(input_ids=ids, use_cache=True).past_key_values.layers if hasattr(layer, "keys")]
    held = [layer for layer in cache if layer.keys is not None]
    windows = [getattr(layer, "sliding_window", None) for layer in held]
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "tensors": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "kv": sum(layer.keys.numel() + layer.values.numel() for layer in held),
        "windows": [window for window in windows if window and window < config.max_position_embeddings],
        "ropes": ropes_of(model, config),
    }


def main():
    if transformers.__version__ != "5.24.0":
        raise SystemExit(f"transformers is {transformers.__version__}, 5.24.0 is meant.")
    models = json.loads(FILE.read_text())
    for model in models:
        model.pop("judged", None)
        config = model["config"]
        if config["model_type"] in REFUSED or "mamba" in config.get("layer_types", []):
            continue
        model["judged"] = judge(config)
        print(model["repo"], model["judged"]["parameters"])
    lines = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
    FILE.write_text(f"[\n{lines}\n]\n")


main()
