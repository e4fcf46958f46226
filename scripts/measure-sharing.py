#!/usr/bin/env python3
"""Measures what it costs SmolLM2-135M-Instruct when neighbours without attention share an MLP, in several ways: nats and parameters.

    python3 scripts/measure-sharing.py MODEL TEXT [--pairs 25,26] [--pairs 6,7 8,9 25,26]

MODEL is a folder of scripts/get-smollm2.py --dtype f32, TEXT a file of some 20,000 tokens. Needs torch 2.15.0, transformers 5.24.0 and
scipy (pip install torch==2.15.0 transformers==5.24.0 scipy). A cross-check of `shishulm convert --share-pairs`, and of ways that it
does not have: blocks 6 to 9, 12, 17, 22, 25, 26 and 29 get linear maps in the place of attention, fitted upward to 32 windows of 256
tokens; nats are of 12 other windows.
"""

import argparse

import torch
import transformers
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import cross_entropy, silu

WITHOUT = (6, 7, 8, 9, 12, 17, 22, 25, 26, 29)
LENGTH = 256
RIDGE = 0.03
# Of the low-rank differences, a pair.
RANKS = (32, 64, 128, 192)


class Child:
    """The parent with linear maps in the place of some attention."""

    def __init__(self, folder: str, text: str) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ids = tokenizer(text, add_special_tokens=False).input_ids
        windows = [ids[at : at + LENGTH] for at in range(0, len(ids) - LENGTH + 1, LENGTH)][:52]
        if len(windows) < 52:
            raise SystemExit(f"The text has {len(ids)} tokens, {52 * LENGTH} are needed.")
        self.test = torch.tensor(windows[4:16])
        self.blocks = self.model.model.layers
        self.eps = self.model.config.rms_norm_eps
        self.mlps: dict[int, list[torch.Tensor]] = {}
        self.maps: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.parent_nats = self.nats()
        self.fit(torch.tensor(windows[20:52]))
        self.child_nats = self.nats()

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def rotary(self, x: torch.Tensor):
        return self.model.model.rotary_emb(x, torch.arange(x.shape[1])[None])

    def attend(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        block = self.blocks[layer]
        states = block.input_layernorm(x)
        return block.self_attn(hidden_states=states, position_embeddings=self.rotary(x), attention_mask=None)[0]

    def mixed(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        if layer not in self.maps:
            return x + self.attend(layer, x)
        weight, bias = self.maps[layer]
        return x + self.norm(x) @ weight.T + bias

    def folded(self, layer: int) -> list[torch.Tensor]:
        """Gate, up and down, with the norm's gain in the first two."""
        block = self.blocks[layer]
        gain = block.post_attention_layernorm.weight
        return [block.mlp.gate_proj.weight * gain, block.mlp.up_proj.weight * gain, block.mlp.down_proj.weight]

    def hidden(self, mlp: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        z = self.norm(x)
        return silu(z @ mlp[0].T) * (z @ mlp[1].T)

    def after(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        mlp = self.mlps.get(layer) or self.folded(layer)
        return x + self.hidden(mlp, x) @ mlp[2].T

    def nats(self) -> float:
        total, count = 0.0, 0
        for window in self.test.split(4):
            x = self.model.model.embed_tokens(window)
            for layer in range(len(self.blocks)):
                x = self.after(layer, self.mixed(layer, x))
            logits = self.model.lm_head(self.model.model.norm(x[:, :-1]))
            total += float(cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten(), reduction="sum"))
            count += window[:, 1:].numel()
        return total / count

    def fit(self, windows: torch.Tensor) -> None:
        """Each map on the states that those below have left; keeps what MLPs see."""
        x = self.model.model.embed_tokens(windows)
        self.seen = {}
        for layer in range(len(self.blocks)):
            if layer in WITHOUT:
                z = self.norm(x).flatten(0, 1).double()
                target = self.attend(layer, x).flatten(0, 1).double()
                means = z.mean(0), target.mean(0)
                gram = (z - means[0]).T @ (z - means[0])
                gram += RIDGE * gram.trace() / len(gram) * torch.eye(len(gram))
                solved = torch.linalg.solve(gram, (z - means[0]).T @ (target - means[1]))
                self.maps[layer] = (solved.T.float(), (means[1] - means[0] @ solved).float())
            x = self.mixed(layer, x)
            if layer in WITHOUT:
                self.seen[layer] = x.flatten(0, 1)
            x = self.after(layer, x)


def aligned(a: list[torch.Tensor], b: list[torch.Tensor]) -> list[torch.Tensor]:
    """The units of b in the order, and with the signs, in which they are most like those of a."""
    unit = lambda rows: rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)  # noqa: E731
    linear = unit(a[1]) @ unit(b[1]).T + unit(a[2].T) @ unit(b[2].T).T
    order = torch.tensor(linear_sum_assignment(-(unit(a[0]) @ unit(b[0]).T + linear.abs()).numpy())[1])
    sign = linear[torch.arange(len(order)), order].sign()
    return [b[0][order], b[1][order] * sign[:, None], b[2][:, order] * sign]


def mean(a: list[torch.Tensor], b: list[torch.Tensor]) -> list[torch.Tensor]:
    return [(x + y) / 2 for x, y in zip(a, b)]


def low_rank(matrix: torch.Tensor, inputs: torch.Tensor, rank: int) -> torch.Tensor:
    """The nearest matrix of a rank, where inputs are as these."""
    values, vectors = torch.linalg.eigh((inputs.T @ inputs).double())
    values = values.clamp_min(values.max() * 1e-6).sqrt()
    u, s, v = torch.linalg.svd(matrix.double() @ (vectors * values) @ vectors.T, full_matrices=False)
    return ((u[:, :rank] * s[:rank]) @ v[:rank] @ (vectors / values) @ vectors.T).float()


def share(child: Child, pair: tuple[int, int], way: str, rank: int) -> int:
    """Has a pair share its MLP, and returns the parameters that it saves."""
    first, second = (child.folded(layer) for layer in pair)
    own = sum(matrix.numel() for matrix in first)
    if way == "the first's":
        child.mlps[pair[1]] = first
    elif way == "mean":
        child.mlps[pair[0]] = child.mlps[pair[1]] = mean(first, second)
    else:
        other = aligned(first, second)
        both = mean(first, other)
        if way == "aligned, then mean":
            child.mlps[pair[0]] = child.mlps[pair[1]] = both
            return own
        seen = [child.seen[layer] for layer in pair]
        states = torch.cat([child.norm(x) for x in seen])
        units = torch.cat([child.hidden(first, seen[0]), child.hidden(other, seen[1])])
        # What one has more, the other has less: both have the same two factors.
        half = [low_rank((x - y) / 2, of, rank) for x, y, of in zip(first, other, (states, states, units))]
        child.mlps[pair[0]] = [x + y for x, y in zip(both, half)]
        child.mlps[pair[1]] = [x - y for x, y in zip(both, half)]
        return own - sum(rank * sum(matrix.shape) for matrix in first)
    return own


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--pairs", nargs="+", action="append", help="pairs that share at once, as 6,7 8,9")
    given = parser.parse_args()
    sets = given.pairs or [["25,26"], ["6,7", "8,9", "25,26"]]
    with open(given.text, encoding="utf-8", errors="replace") as file:
        child = Child(given.model, file.read())
    print(f"parent {child.parent_nats:.4f} nats, child without sharing +{child.child_nats - child.parent_nats:.4f}")
    ways = [("the first's", 0), ("mean", 0), ("aligned, then mean", 0), *(("low-rank differences", rank) for rank in RANKS)]
    for pairs in sets:
        for way, rank in ways:
            child.mlps.clear()
            saved = sum(share(child, tuple(map(int, pair.split(","))), way, rank) for pair in pairs)
            cost = child.nats() - child.child_nats
            print(f"{' '.join(pairs)}: {way} {rank or ''} +{cost:.4f} nats, {saved / 1e6:.2f} M parameters saved", flush=True)


with torch.no_grad():
    main()
