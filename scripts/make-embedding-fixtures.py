#!/usr/bin/env python3
"""Writes test/fixtures/embeddings/<name>: tiny random models, and the vectors that transformers and sentence-transformers make.

Needs transformers 5.24.0, torch 2.15.0 and sentence-transformers 6.2.0, nothing of a published model:

    python3 scripts/make-embedding-fixtures.py [name...]

A folder is a model as its makers publish it: config.json, model.safetensors (BF16, without a head, under names without `model.`),
a byte-level tokenizer, and the files of sentence-transformers. expected.json holds texts with their token ids, and cases: options
as `model.embed` takes them, and a vector a text (base64 of little-endian f32). Vectors of sentence-transformers, in one batch, are
held against those of AutoModel, one text at a time.
"""

import json
import pathlib
import shutil

import numpy as np
import tokenizers
import torch
import transformers
from fixtures import make_all, packed
from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "embeddings"
END = "<|endoftext|>"
CONTEXT = 128
TEXTS = [
    "The cat sleeps on the warm roof.",
    "a",
    "",
    "Rivers flow down to the sea, and the sea is never full; to the place where the rivers flow, there they flow again.",
    "Übergrößenträger, 日本語 и кириллица.",
    "  two  spaces\nand a line",
]
QUERY = "Instruct: Find what answers the question\nQuery:"

COMMON = {
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": CONTEXT,
}
# As Qwen3-Embedding is published; and as sentence-transformers 6 writes a model.
MODELS = {
    "qwen3": {
        "config": ("Qwen3Config", {"head_dim": 16, "tie_word_embeddings": True}),
        "end": True,
        "files": {
            "modules.json": [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
            ],
            "1_Pooling/config.json": {
                "word_embedding_dimension": 24,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": False,
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
                "pooling_mode_weightedmean_tokens": False,
                "pooling_mode_lasttoken": True,
                "include_prompt": True,
            },
            "config_sentence_transformers.json": {
                "prompts": {"query": QUERY, "document": ""},
                "default_prompt_name": None,
                "similarity_fn_name": "cosine",
            },
        },
        "cases": [
            {},
            {"instruction": "query"},
            {"instruction": "document"},
            {"instruction": "search: "},
            {"dimensions": 10},
            {"pooling": "mean", "normalize": False},
        ],
    },
    "llama": {
        "config": ("LlamaConfig", {"tie_word_embeddings": False, "rope_theta": 500.0}),
        "end": False,
        "files": {
            "modules.json": [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
                {
                    "idx": 1,
                    "name": "1",
                    "path": "1_Pooling",
                    "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
                },
            ],
            "1_Pooling/config.json": {"embedding_dimension": 24, "pooling_mode": "mean", "include_prompt": False},
            "config_sentence_transformers.json": {
                "prompts": {"title": "A title:", "query": "Which?"},
                "default_prompt_name": "title",
            },
        },
        "cases": [
            {},
            {"instruction": "query"},
            {"instruction": "", "normalize": True},
            {"pooling": "last", "instruction": ""},
        ],
    },
}


def tokenizer_of(end: bool) -> transformers.PreTrainedTokenizerFast:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=288,
        special_tokens=[END],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    if end:
        around = tokenizers.processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, made.token_to_id(END))])
        made.post_processor = tokenizers.processors.Sequence(
            [tokenizers.processors.ByteLevel(trim_offsets=False), around]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END)


def draw(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(5)
    for name, value in model.named_parameters():
        normal = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            value.data = 1 + 0.3 * normal
        else:
            gain = 2 if "q_proj" in name or "k_proj" in name else 1
            value.data = 0.5 * normal if "embed" in name else gain * normal / value.shape[1] ** 0.5


def by_hand(model, tokenizer, texts, prompt, pooling, normalize, dimensions, skip) -> torch.Tensor:
    """One text at a time, of the last hidden states."""
    vectors = []
    for text in texts:
        ids = tokenizer(prompt + text)["input_ids"]
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        first = len(tokenizer(prompt)["input_ids"]) if skip and prompt else 0
        vector = states[-1] if pooling == "last" else states[first:].mean(0)
        vector = vector[:dimensions]
        vectors.append(torch.nn.functional.normalize(vector, dim=0) if normalize else vector)
    return torch.stack(vectors)


def make(name: str) -> None:
    of = MODELS[name]
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(of["end"])
    tokenizer.save_pretrained(folder)
    config_class, fields = of["config"]
    vocab = len(tokenizer)
    config = getattr(transformers, config_class)(**{**COMMON, **fields, "vocab_size": vocab, "eos_token_id": 0})
    model = transformers.AutoModel.from_config(config)
    draw(model)
    model.to(torch.bfloat16).save_pretrained(folder)
    for file, value in of["files"].items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(value) + "\n")
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    judge = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}).eval()
    prompts = of["files"]["config_sentence_transformers.json"]["prompts"]
    default = of["files"]["config_sentence_transformers.json"]["default_prompt_name"]
    own = "last" if name == "qwen3" else "mean"
    # A text without a token has no vector.
    texts = [text for text in TEXTS if tokenizer(text)["input_ids"]]
    cases = []
    for options in of["cases"]:
        asked = options.get("instruction")
        prompt = prompts.get(asked, asked) if asked is not None else prompts.get(default, "")
        pooling = options.get("pooling", own)
        normalize = options.get("normalize", name == "qwen3")
        dimensions = options.get("dimensions")
        skip = name == "llama" and pooling == "mean"
        expected = by_hand(model, tokenizer, texts, prompt, pooling, normalize, dimensions, skip)
        if pooling == own:
            found = judge.encode(
                texts, prompt=prompt, truncate_dim=dimensions, normalize_embeddings=normalize, batch_size=len(texts)
            )
            apart = float(np.abs(found - expected.numpy()).max())
            assert apart < 1e-5, (name, options, apart)
        cases.append({"options": options, "vectors": packed(expected)})
    expected = {"context": CONTEXT, "texts": texts, "ids": tokenizer(texts)["input_ids"], "cases": cases}
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")
    text = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(text, ensure_ascii=False, separators=(",", ":")) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(name, size, "bytes", [len(ids) for ids in expected["ids"]], sorted(p.name for p in folder.rglob("*")))


make_all(make, MODELS)
