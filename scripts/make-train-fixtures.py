#!/usr/bin/env python3
"""Writes test/fixtures/train.json: what torch makes of training steps of tiny models.

Needs torch 2.15.0 (pip install torch==2.15.0):

    python3 scripts/make-train-fixtures.py

Weights and batches are drawn as test/support/train-fixtures.ts draws them, from names. Of each case the file holds its settings, the
loss and the gradient's norm of each step, and of the first step the gradient of each tensor that is trained (base64 of little-endian
f32). Sums are in f64.
"""

import base64
import json
import math
import pathlib

import torch

F64 = torch.float64
MASK = 0xFFFFFFFF


def imul(a: int, b: int) -> int:
    return (a * b) & MASK


def hash_of(text: str) -> int:
    """FNV-1a of a string's units, mixed: src/train/random.ts."""
    value = 0x811C9DC5
    for unit in text:
        value = imul(value ^ ord(unit), 0x01000193)
    value = imul(value ^ (value >> 16), 0x85EBCA6B)
    return value ^ (value >> 13)


class Uniform:
    """Mulberry32: src/train/random.ts."""

    def __init__(self, seed: int):
        self.state = seed & MASK

    def __call__(self) -> float:
        self.state = (self.state + 0x6D2B79F5) & MASK
        t = imul(self.state ^ (self.state >> 15), self.state | 1)
        t = ((t + imul(t ^ (t >> 7), t | 61)) & MASK) ^ t
        return (t ^ (t >> 14)) / 2**32


def drawn(name: str, shape: list[int]) -> torch.Tensor:
    uniform = Uniform(hash_of(name))
    values = torch.tensor([2 * uniform() - 1 for _ in range(math.prod(shape))], dtype=F64)
    if len(shape) == 1:
        values = 0.2 * values if name.endswith("bias") else 1 + 0.3 * values
    elif "embed_tokens" not in name:
        values = values * (2 / math.sqrt(shape[1]))
    return values.to(torch.float32).to(F64).reshape(shape)


class Model:
    """A decoder by its config: blocks of attention, of linear maps, or of MLPs alone."""

    def __init__(self, config: dict, replaced: dict[str, torch.Tensor] | None = None):
        self.config = config
        self.weights: dict[str, torch.Tensor] = {}
        self.replaced = replaced or {}
        self.layers = config["num_hidden_layers"]
        self.types = config.get("layer_types") or ["full_attention"] * self.layers
        self.owners = list(range(self.layers))
        if "num_decoder_front" in config:
            front, without, end = config["num_decoder_front"], config["num_mlp"], config["num_decoder_end"]
            self.types = ["full_attention"] * front + ["mlp"] * without + ["full_attention"] * end
            for layer in config["linear_layers"]:
                self.types[layer] = "linear"
            for pair in range(config["num_mlp_shared"]):
                self.owners[front + 2 * pair + 1] = front + 2 * pair
        for group in config.get("shared_mlps", []):
            for layer in group:
                self.owners[layer] = group[0]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads

    def weight(self, name: str, shape: list[int]) -> torch.Tensor:
        if name not in self.weights:
            self.weights[name] = drawn(name, shape).requires_grad_()
        return self.replaced.get(name, self.weights[name])

    def linear(self, x: torch.Tensor, name: str, rows: int, bias: bool) -> torch.Tensor:
        y = x @ self.weight(f"{name}.weight", [rows, x.shape[-1]]).T
        return y + self.weight(f"{name}.bias", [rows]) if bias else y

    def norm(self, x: torch.Tensor, gain: str | None) -> torch.Tensor:
        y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return y * self.weight(f"{gain}.weight", [x.shape[-1]]) if gain else y

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        length, dim = x.shape[1], x.shape[-1]
        theta = self.config["rope_theta"]
        frequencies = torch.tensor([theta ** (-2 * i / dim) for i in range(dim // 2)], dtype=F64)
        angles = torch.arange(length, dtype=F64)[:, None] * frequencies
        cos, sin = angles.cos()[:, None, :], angles.sin()[:, None, :]
        a, b = x[..., : dim // 2], x[..., dim // 2 :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, x: torch.Tensor, name: str) -> torch.Tensor:
        config, rows, length = self.config, x.shape[0], x.shape[1]
        family = config["model_type"]
        parts = []
        for which, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads)):
            part = self.linear(x, f"{name}.{which}_proj", heads * self.head_dim, family == "qwen2")
            part = part.reshape(rows, length, heads, self.head_dim)
            if which != "v":
                if family == "qwen3":
                    part = self.norm(part, f"{name}.{which}_norm")
                part = self.turn(part)
                if config.get("use_qk_norm"):
                    part = self.norm(part, None)
            parts.append(part.repeat_interleave(self.heads // heads, 2).transpose(1, 2))
        q, k, v = parts
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_dim)
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, self.heads * self.head_dim)
        return self.linear(y, f"{name}.o_proj", x.shape[-1], False)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden states, and logits."""
        config = self.config
        hidden, width, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
        table = self.weight("model.embed_tokens.weight", [vocab, hidden])
        x = table[tokens]
        for layer in range(self.layers):
            name = f"model.layers.{layer}"
            if self.types[layer] == "full_attention":
                x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
            if self.types[layer] == "linear":
                z, rank = self.norm(x, None), config.get("linear_rank")
                inputs = config.get("linear_inputs") or 1
                z = torch.cat([torch.nn.functional.pad(z, (0, 0, back, 0))[:, : z.shape[1]] for back in range(inputs)], -1)
                if rank:
                    z = self.linear(z, f"{name}.linear_attn.down", rank, False)
                    x = x + self.linear(z, f"{name}.linear_attn.up", hidden, True)
                else:
                    x = x + self.linear(z, f"{name}.linear_attn", hidden, True)
            name = f"model.layers.{self.owners[layer]}"
            z = self.norm(x, f"{name}.post_attention_layernorm")
            gate = torch.nn.functional.silu(self.linear(z, f"{name}.mlp.gate_proj", width, False))
            x = x + self.linear(gate * self.linear(z, f"{name}.mlp.up_proj", width, False), f"{name}.mlp.down_proj", hidden, False)
        z = self.norm(x, "model.norm")
        head = table if config.get("tie_word_embeddings") else self.weight("lm_head.weight", [vocab, hidden])
        return x, z @ head.T


ROWS, LENGTH, VOCAB = 2, 12, 40
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": VOCAB,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "tie_word_embeddings": True,
}
PARENT = {**SIZES, "model_type": "llama", "num_hidden_layers": 4}
CHILD = {
    **SIZES,
    "model_type": "shishu-llama",
    "num_hidden_layers": 4,
    "num_decoder_front": 1,
    "num_mlp": 2,
    "num_mlp_shared": 1,
    "num_decoder_end": 1,
    "linear_layers": [1],
    "use_qk_norm": True,
}
LISTED = {
    **PARENT,
    "model_type": "shishu",
    "parent_model_type": "llama",
    "layer_types": ["full_attention", "linear", "full_attention", "mlp"],
}
CASES = {
    "plain": {"config": {**PARENT, "num_hidden_layers": 2, "tie_word_embeddings": False}, "steps": 50},
    "distilled": {
        "config": CHILD,
        "teacher": PARENT,
        "mix": 0.7,
        "hidden": 0.5,
        "accumulate": 2,
        "steps": 50,
    },
    "from the lowest": {"config": LISTED, "teacher": PARENT, "mix": 0.7, "lowest": 1, "steps": 4},
    "changed": {
        "config": {**LISTED, "linear_rank": 5},
        "teacher": PARENT,
        "mix": 1.0,
        "trained": "changed",
        "steps": 4,
    },
    "low rank": {"config": LISTED, "teacher": PARENT, "mix": 0.5, "trained": {"rank": 3}, "steps": 4},
    "inputs": {
        "config": {**LISTED, "layer_types": ["full_attention", "linear"] * 2, "linear_inputs": 3},
        "teacher": PARENT,
        "mix": 0.5,
        "steps": 4,
    },
    "qwen2": {"config": {**PARENT, "model_type": "qwen2", "num_hidden_layers": 2}, "steps": 4},
    "qwen3": {"config": {**PARENT, "model_type": "qwen3", "num_hidden_layers": 2}, "steps": 4},
}
SCHEDULE = {"steps": 50, "learningRate": 0.01, "warmUp": 5}
# Batches take turns.
BATCHES = 2


def rate_at(step: int) -> float:
    steps, rate, warm_up = SCHEDULE["steps"], SCHEDULE["learningRate"], SCHEDULE["warmUp"]
    if step < warm_up:
        return rate * step / warm_up
    return rate * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1, (step - warm_up) / (steps - warm_up)))))


def batch_of(number: int, windows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    uniform = Uniform(hash_of(f"batch {number}"))
    count = windows * LENGTH
    tokens = torch.tensor([int(uniform() * VOCAB) for _ in range(count)])
    targets = torch.tensor([int(uniform() * VOCAB) for _ in range(count)])
    weights = torch.tensor([0 if i % 7 == 3 else uniform() for i in range(count)]).to(torch.float32).to(F64)
    return tokens.reshape(windows, LENGTH), targets, weights / weights.sum()


def trained_names(case: dict, model: Model) -> list[str]:
    """Names of tensors that change; with a rank, those of norms, biases and, by themselves, products."""
    trained, lowest = case.get("trained", "all"), case.get("lowest")
    vectors = [name for name, value in model.weights.items() if value.dim() == 1]
    if trained == "changed":
        # Blocks 1 and 3 are no attention; block 0 is below the lowest of them.
        chosen = [n for n in model.weights if ".1." in n or ".3." in n]
        norms = [n for n in vectors if "norm" in n and ".0." not in n]
        return [n for n in model.weights if n in chosen or n in norms]
    if trained == "all":
        if lowest is None:
            return list(model.weights)
        below = [f".layers.{i}." for i in range(lowest)] + ["embed_tokens"]
        return [n for n in model.weights if not any(part in n for part in below)]
    return vectors


def packed(value: torch.Tensor) -> str:
    return base64.b64encode(value.to(torch.float32).numpy().tobytes()).decode()


def run(case: dict) -> dict:
    accumulate = case.get("accumulate", 1)
    mix, hidden = case.get("mix", 0.0), case.get("hidden", 0.0)
    model = Model(case["config"])
    teacher = Model(case["teacher"]) if "teacher" in case else None
    batches = [batch_of(i, ROWS * accumulate) for i in range(BATCHES)]
    model.forward(batches[0][0])
    names = trained_names(case, model)
    parameters = {name: model.weights[name] for name in names}
    rank = case["trained"]["rank"] if isinstance(case.get("trained"), dict) else 0
    products = []
    if rank:
        for name in [n for n, v in model.weights.items() if v.dim() == 2 and "embed_tokens" not in n]:
            rows, cols = model.weights[name].shape
            base = name.removesuffix(".weight")
            a = drawn(f"{base}.lora_A.weight", [rank, cols]).requires_grad_()
            b = drawn(f"{base}.lora_B.weight", [rows, rank]).requires_grad_()
            parameters[f"{base}.lora_A.weight"], parameters[f"{base}.lora_B.weight"] = a, b
            products.append((name, a, b))
    decayed = [value for value in parameters.values() if value.dim() > 1]
    others = [value for value in parameters.values() if value.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    losses, norms, gradients = [], [], {}
    for step in range(1, case["steps"] + 1):
        tokens, targets, weights = batches[step % BATCHES]
        model.replaced = {name: model.weights[name] + b @ a for name, a, b in products}
        states, logits = model.forward(tokens)
        logs = logits.reshape(-1, VOCAB).log_softmax(-1)
        loss = (1 - mix) * -(weights * logs[torch.arange(len(targets)), targets]).sum()
        if teacher:
            with torch.no_grad():
                its_states, its_logits = teacher.forward(tokens)
                its_logs = its_logits.reshape(-1, VOCAB).log_softmax(-1)
            loss = loss + mix * (weights * (its_logs.exp() * (its_logs - logs)).sum(-1)).sum()
            apart = ((states - its_states) ** 2).sum(-1) / (its_states**2).sum(-1)
            loss = loss + hidden * (weights * apart.reshape(-1)).sum()
        optimizer.zero_grad()
        loss.backward()
        if step == 1:
            gradients = {name: packed(value.grad) for name, value in parameters.items()}
        norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        optimizer.step()
        losses.append(round(loss.item(), 9))
        norms.append(round(norm.item(), 9))
    return {**case, "losses": losses, "norms": norms, "gradients": gradients}


def main() -> None:
    made = {"rows": ROWS, "length": LENGTH, "schedule": SCHEDULE, "batches": BATCHES}
    made["cases"] = {name: run(case) for name, case in CASES.items()}
    path = pathlib.Path(__file__).parent.parent / "test" / "fixtures" / "train.json"
    path.write_text(json.dumps(made, indent=1) + "\n")
    for name, case in made["cases"].items():
        print(name, case["losses"][0], case["losses"][-1])


main()
