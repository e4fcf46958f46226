#!/usr/bin/env python3
"""Writes test/fixtures/gguf/<architecture>.gguf and .json: tiny random models as llama.cpp's converter lays them out.

    pip install transformers==5.24.0 torch==2.15.0 gguf==0.19.0 llama-cpp-python==0.3.36
    python3 scripts/make-gguf-families.py [architecture...]

A .json holds a prompt and its logits by transformers (base64 of little-endian f32, a row a token). Each model is first written in
F32 and run by llama.cpp, whose logits must be those of transformers: the layout is right then. The file that is kept is in BF16.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
from fixtures import CONTEXT, PHI3, SHORT, logits_of, make_all, packed, random_model, random_prompt
from gguf import GGMLQuantizationType, GGUFWriter, RopeScalingType, TokenType

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "gguf"
# More than rounding, far less than anything else. llama.cpp's GELU is a table of 16 bits.
TOLERANCE = 2e-5
OF_GELU = 2e-3

ATTENTION = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
MLP = {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
LLAMA = {**ATTENTION, **MLP, "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
TOP = {"embed_tokens": "token_embd", "norm": "output_norm", "embedding_norm": "token_embd_norm", "lm_head": "output"}
AFTER = {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def granite(writer, config):
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)


def gemma3(writer, config):
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)
    writer.add_rope_scaling_type(RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(4.0)


def phi3(writer, config):
    rope = config.rope_parameters
    size = config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * size))
    writer.add_sliding_window(config.sliding_window)
    original = config.original_max_position_embeddings
    writer.add_rope_scaling_orig_ctx_len(original)
    scale = config.max_position_embeddings / original
    writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
    for which in ("long", "short"):
        writer.add_tensor(f"rope_factors_{which}.weight", np.array(rope[f"{which}_factor"], dtype=np.float32))


def lfm2(writer, config):
    writer.add_shortconv_l_cache(config.conv_L_cache)
    writer.add_vocab_size(config.vocab_size)


def llama4(writer, config):
    writer.add_vocab_size(config.vocab_size)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_expert_count(16)
    writer.add_expert_used_count(1)
    writer.add_interleave_moe_layer_step(0)
    writer.add_expert_feed_forward_length(config.intermediate_size)


# Each: config class, fields beside the common ones, names in a block, what is added to the metadata.
ARCHITECTURES = {
    "gemma3": (
        "Gemma3TextConfig",
        {
            "num_hidden_layers": 7,
            "head_dim": 12,
            "query_pre_attn_scalar": 12,
            "sliding_window": 7,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
            },
        },
        {**LLAMA, **AFTER, "pre_feedforward_layernorm": "ffn_norm"},
        gemma3,
    ),
    "granite": (
        "GraniteConfig",
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.2,
            "logits_scaling": 3.0,
        },
        LLAMA,
        granite,
    ),
    "smollm3": (
        "SmolLM3Config",
        {"num_hidden_layers": 4, "no_rope_layer_interval": 4, "rope_theta": 5000.0},
        LLAMA,
        lambda writer, config: writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads),
    ),
    "phi3": (
        "Phi3Config",
        {
            **PHI3,
            "original_max_position_embeddings": 16,
            "sliding_window": 64,
            "rope_parameters": {**SHORT, "partial_rotary_factor": 0.75},
        },
        {
            **LLAMA,
            "self_attn.qkv_proj": "attn_qkv",
            "mlp.gate_up_proj": "ffn_up",
        },
        phi3,
    ),
    "olmo2": ("Olmo2Config", {"tie_word_embeddings": False}, {**LLAMA, **AFTER}, lambda writer, config: None),
    "llama4": (
        "Llama4TextConfig",
        {
            "head_dim": 12,
            "intermediate_size": 40,
            "intermediate_size_mlp": 48,
            "moe_layers": [],
            "num_hidden_layers": 4,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
        },
        {**LLAMA, **{name.replace("mlp.", "feed_forward."): to for name, to in MLP.items()}},
        llama4,
    ),
    "lfm2": (
        "Lfm2Config",
        {
            "num_hidden_layers": 4,
            "intermediate_size": 66,
            "block_multiple_of": 16,
            "layer_types": ["conv", "full_attention", "conv", "conv"],
        },
        {
            **ATTENTION,
            "self_attn.out_proj": "attn_output",
            "self_attn.q_layernorm": "attn_q_norm",
            "self_attn.k_layernorm": "attn_k_norm",
            "operator_norm": "attn_norm",
            "ffn_norm": "ffn_norm",
            "feed_forward.w1": "ffn_gate",
            "feed_forward.w3": "ffn_up",
            "feed_forward.w2": "ffn_down",
            "conv.conv": "shortconv.conv",
            "conv.in_proj": "shortconv.in_proj",
            "conv.out_proj": "shortconv.out_proj",
        },
        lfm2,
    ),
}
# Neighbouring rows of q and k rotate together.
INTERLEAVED = ["granite", "smollm3"]


def side_by_side(values, heads):
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def value_of(name, architecture, model):
    """A stored parameter, as the converter makes it."""
    values = model.state_dict()[name].float().numpy()
    if architecture == "gemma3" and "norm" in name:
        values = values + 1
    if architecture in INTERLEAVED and ("q_proj" in name or "k_proj" in name):
        config = model.config
        values = side_by_side(values, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
    return np.ascontiguousarray(values.squeeze(1) if values.ndim == 3 else values)


def write(path, architecture, names, more, model, dtype):
    writer = GGUFWriter(path, architecture)
    config = model.config
    kv = config.num_key_value_heads
    types = getattr(config, "layer_types", None) or []
    widths = [p.shape[0] for n, p in model.named_parameters() if n.endswith(("gate_proj.weight", "w1.weight"))]
    theta = config.rope_parameters.get("rope_theta") or config.rope_parameters["full_attention"]["rope_theta"]
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(widths[0] if widths else config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv([0 if each == "conv" else kv for each in types] if "conv" in types else kv)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(getattr(config, "rms_norm_eps", None) or config.norm_eps)
    tokens = ["<unk>", "<s>", "</s>"] + [chr(0x4E00 + i) for i in range(config.vocab_size - 3)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([TokenType.UNKNOWN] + [TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    more(writer, config)
    for name, _ in model.named_parameters():
        part = name.removeprefix("model.")
        stem, kind = part.rsplit(".", 1)
        if stem.startswith("layers."):
            _, layer, inner = stem.split(".", 2)
            to = f"blk.{layer}.{names[inner]}.{kind}"
        else:
            to = f"{TOP[stem]}.{kind}"
        values = value_of(name, architecture, model)
        if dtype == "BF16" and values.ndim == 2 and "shortconv.conv" not in to:
            bits = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint8).numpy()
            writer.add_tensor(to, bits.reshape(values.shape[0], -1), raw_dtype=GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(to, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def by_llama_cpp(path, prompt):
    import llama_cpp

    kept = {"type_k": 0, "type_v": 0, "flash_attn": False}
    model = llama_cpp.Llama(str(path), n_ctx=CONTEXT, logits_all=True, verbose=False, n_threads=1, n_gpu_layers=0, **kept)
    model.eval(prompt)
    return np.array(model.scores[: len(prompt)])


def make(architecture):
    config_class, fields, names, more = ARCHITECTURES[architecture]
    model = random_model(config_class, {"tie_word_embeddings": True, **fields}, 1)
    prompt = random_prompt(48, 1)
    logits = logits_of(model, prompt)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.gguf"
        write(path, architecture, names, more, model, "F32")
        found = by_llama_cpp(path, prompt)
    apart = float(np.abs(found - logits.numpy()).max() / np.abs(logits.numpy()).max())
    print(f"{architecture}: llama.cpp {apart:.1e} apart")
    if not apart < (OF_GELU if architecture == "gemma3" else TOLERANCE):
        raise SystemExit("llama.cpp reads another model")
    FOLDER.mkdir(parents=True, exist_ok=True)
    write(FOLDER / f"{architecture}.gguf", architecture, names, more, model, "BF16")
    facts = {"context": CONTEXT, "prompt": prompt, "logits": packed(logits)}
    (FOLDER / f"{architecture}.json").write_text(json.dumps(facts) + "\n")


make_all(make, ARCHITECTURES)
