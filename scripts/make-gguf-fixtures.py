#!/usr/bin/env python3
"""Makes what the tests of GGUF files compare with:

- test/fixtures/gguf-blocks.json: blocks of every type that is read, random but for their scales, and the f32 values that the
  Python package gguf makes of them;
- test/fixtures/tiny-llama.gguf, a model with random weights in many types, and tiny-llama.json: the logits of transformers for
  the same weights, and the ids of its tokenizer.

    pip install numpy==2.4.6 gguf==0.19.0 torch transformers==5.24.0 tokenizers==0.23.3
    python3 scripts/make-gguf-fixtures.py
"""
import base64
import json
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import dequantize, quantize

FOLDER = Path(__file__).resolve().parent.parent / 'test' / 'fixtures'
BLOCKS = 4
# Where the halves of a block lie: its scales and minima.
HALVES = {
    'Q4_0': [0],
    'Q4_1': [0, 2],
    'Q5_0': [0],
    'Q5_1': [0, 2],
    'Q8_0': [0],
    'Q2_K': [80, 82],
    'Q3_K': [108],
    'Q4_K': [0, 2],
    'Q5_K': [0, 2],
    'Q6_K': [208],
    'IQ4_NL': [0],
    'IQ4_XS': [0],
}


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


CONFIG = {
    'vocab_size': 320,
    'hidden_size': 64,
    'intermediate_size': 64,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'num_key_value_heads': 2,
    'max_position_embeddings': 512,
    'rms_norm_eps': 1e-5,
    'tie_word_embeddings': True,
    'bos_token_id': 0,
    'eos_token_id': 1,
    'rope_parameters': {
        'rope_type': 'llama3',
        'rope_theta': 10000.0,
        'factor': 8.0,
        'low_freq_factor': 1.0,
        'high_freq_factor': 4.0,
        'original_max_position_embeddings': 64,
    },
}
TENSORS = {
    'self_attn.q_proj': ('attn_q', 'Q8_0'),
    'self_attn.k_proj': ('attn_k', 'Q4_0'),
    'self_attn.v_proj': ('attn_v', 'Q5_0'),
    'self_attn.o_proj': ('attn_output', 'Q4_1'),
    'mlp.gate_proj': ('ffn_gate', 'Q5_1'),
    'mlp.up_proj': ('ffn_up', 'F16'),
    'mlp.down_proj': ('ffn_down', 'BF16'),
    'input_layernorm': ('attn_norm', 'F32'),
    'post_attention_layernorm': ('ffn_norm', 'F32'),
}
# As llama.cpp's names of it; the pattern is that of Llama 3's tokenizer.json.
PRE = 'llama-bpe'
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ['<|begin|>', '<|end|>', '<|eot|>']
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TEXTS = [
    'The lighthouse stood on the last rock before the open sea.',
    "It's 1962; we'll SEE what they've said:\n\n  one, two,   three\t!",
    'Größe, été, naïve — 日本語 и русский язык 12345678 ½',
    '  leading and trailing  ',
    'a\r\n\r\nb ... ??? <|eot|>the<|end|>',
    '👩\u200d🚀 \u00a0\u3000x\ufeffy\u0085z',
]


def tiny_tokenizer():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), 'isolated'),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG['vocab_size'],
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def tiny_model():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).float().eval()
    tokenizer = tiny_tokenizer()
    vocab = tokenizer.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    merges = [' '.join(pair) for pair in json.loads(tokenizer.to_str())['model']['merges']]

    writer = GGUFWriter(FOLDER / 'tiny-llama.gguf', 'llama')
    writer.add_vocab_size(CONFIG['vocab_size'])
    writer.add_context_length(CONFIG['max_position_embeddings'])
    writer.add_embedding_length(CONFIG['hidden_size'])
    writer.add_feed_forward_length(CONFIG['intermediate_size'])
    writer.add_block_count(CONFIG['num_hidden_layers'])
    writer.add_head_count(CONFIG['num_attention_heads'])
    writer.add_head_count_kv(CONFIG['num_key_value_heads'])
    writer.add_layer_norm_rms_eps(CONFIG['rms_norm_eps'])
    rope = CONFIG['rope_parameters']
    writer.add_rope_freq_base(rope['rope_theta'])
    writer.add_rope_dimension_count(CONFIG['hidden_size'] // CONFIG['num_attention_heads'])
    writer.add_rope_scaling_orig_ctx_len(rope['original_max_position_embeddings'])
    writer.add_tokenizer_model('gpt2')
    writer.add_tokenizer_pre(PRE)
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_eot_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def add(parameter, name, type_name, values):
        """Puts a tensor into the file, and what it is when it is widened again into the model."""
        type_ = GGMLQuantizationType[type_name]
        stored = quantize(values, type_)
        writer.add_tensor(name, stored, raw_dtype=type_)
        return dequantize(stored, type_).reshape(values.shape)

    def side_by_side(values, heads):
        return values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)

    def halves(values, heads):
        return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)

    random = np.random.default_rng(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            spread = 0.3 if len(shape) == 2 else 0.2
            values = (random.normal(0, spread, shape) + (len(shape) == 1)).astype(np.float32)
            part = name.removesuffix('.weight').removeprefix('model.')
            if part == 'embed_tokens':
                widened = add(parameter, 'token_embd.weight', 'Q8_0', values)
            elif part == 'norm':
                widened = add(parameter, 'output_norm.weight', 'F32', values)
            else:
                _, layer, inner = part.split('.', 2)
                gguf_name, type_name = TENSORS[inner]
                heads = {
                    'attn_q': CONFIG['num_attention_heads'],
                    'attn_k': CONFIG['num_key_value_heads'],
                }.get(gguf_name)
                if heads:
                    values = side_by_side(values, heads)
                widened = add(parameter, f'blk.{layer}.{gguf_name}.weight', type_name, values)
                if heads:
                    widened = halves(widened, heads)
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(widened, dtype=np.float32)))
        # The scaling as converters store it: what each frequency is divided by.
        size = CONFIG['hidden_size'] // CONFIG['num_attention_heads']
        plain = 1 / rope['rope_theta'] ** (np.arange(0, size, 2, dtype=np.float64) / size)
        scaled = model.model.rotary_emb.inv_freq.double().numpy()
        writer.add_tensor('rope_freqs.weight', (plain / scaled).astype(np.float32))
        ids = [0, *tokenizer.encode(TEXTS[0]).ids, *tokenizer.encode(TEXTS[1]).ids]
        logits = model(torch.tensor([ids])).logits[0, -1].numpy()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    facts = {
        'about': 'tiny-llama.gguf of scripts/make-gguf-fixtures.py, by transformers 5.24.0 in f32 on a CPU.',
        'tokenIds': ids,
        'logits': text(logits.astype('<f4')),
        'texts': [{'text': each, 'ids': tokenizer.encode(each).ids} for each in TEXTS],
        'tensors': {
            name: text(model.get_parameter(name).detach().numpy().astype('<f4')[-1])
            for name in ['model.layers.1.self_attn.q_proj.weight', 'model.layers.0.self_attn.k_proj.weight']
        },
    }
    (FOLDER / 'tiny-llama.json').write_text(json.dumps(facts, indent=2) + '\n')


def main():
    tiny_model()
    random = np.random.default_rng(7)
    types = {}
    for name, halves in HALVES.items():
        type_ = GGMLQuantizationType[name]
        size = GGML_QUANT_SIZES[type_][1]
        blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        for at in halves:
            scale = random.normal(0, 0.1, (BLOCKS, 1)).astype(np.float16)
            # One subnormal, which is widened by another way.
            scale[0] = np.float16(3e-6)
            blocks[:, at : at + 2] = scale.view(np.uint8)
        types[name] = {'blocks': text(blocks), 'values': text(dequantize(blocks, type_).astype('<f4'))}
    (FOLDER / 'gguf-blocks.json').write_text(json.dumps({'gguf': '0.19.0', 'types': types}, indent=2) + '\n')


if __name__ == '__main__':
    main()
