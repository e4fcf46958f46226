"""The model library of a Llama-shaped model for web-llm, unquantized (q0f32), made with TVM; make.py runs this.

    python model.py FOLDER_OF_THE_MODEL OBJECT_FOLDER LIBRARY.wasm

Attention, its paged cache, schedules and sampling are TVM's own, as in web-llm's published libraries; the weights of a projection are
read as they are stored, as there.
"""
import importlib
import inspect
import json
import os
import subprocess
import sys

import tvm
from tvm import relax, te, tirx
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import op
from tvm.relax.frontend.nn.llm.kv_cache import PagedKVCache, RopeMode, TIRPagedKVCache
from tvm.script import relax as R

F32 = 'float32'
HOST = {'kind': 'llvm', 'mtriple': 'wasm32-unknown-unknown-wasm'}
TARGET = tvm.target.Target({'kind': 'webgpu', 'host': HOST})
#: A row of probabilities is summed in parts of this length.
PART = 4096
PREFILL = 1024
LIMIT = 4096
RUNTIME = ('wasm_runtime', 'tvmjs_support', 'webgpu_runtime')


def product(x, w):
    """x times the transpose of w."""
    k = te.reduce_axis((0, w.shape[1]), 'k')
    shape = (x.shape[0], x.shape[1], w.shape[0])
    return te.compute(shape, lambda b, i, j: te.sum(x[b, i, k] * w[j, k], axis=k), name='NT_matmul')


def last_row(x):
    return te.compute((x.shape[0], 1, x.shape[2]), lambda i, _, k: x[i, x.shape[1] - 1, k], name='last')


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        self.weight = nn.Parameter((outputs, inputs), F32)

    def forward(self, x):
        return op.tensor_expr_op(product, 'NT_matmul', [x, self.weight])


class Block(nn.Module):
    def __init__(self, config, layer):
        self.layer = layer
        hidden, width = config['hidden_size'], config['intermediate_size']
        self.heads, self.kv_heads = config['num_attention_heads'], config['num_key_value_heads']
        self.head = hidden // self.heads
        norm = {'axes': -1, 'epsilon': config['rms_norm_eps'], 'bias': False, 'dtype': F32}
        self.input_norm = nn.RMSNorm(hidden, **norm)
        self.qkv = Linear(hidden, (self.heads + 2 * self.kv_heads) * self.head)
        self.o = Linear(self.heads * self.head, hidden)
        self.post_norm = nn.RMSNorm(hidden, **norm)
        self.gate_up = Linear(hidden, 2 * width)
        self.down = Linear(width, hidden)

    def forward(self, x, cache):
        rows, length, _ = x.shape
        qkv = self.qkv(self.input_norm(x))
        qkv = op.reshape(qkv, (rows, length, self.heads + 2 * self.kv_heads, self.head))
        attended = cache.attention_with_fused_qkv(self.layer, qkv, self.heads, sm_scale=self.head**-0.5)
        x = x + self.o(op.reshape(attended, (rows, length, self.heads * self.head)))
        gate, up = op.split(self.gate_up(self.post_norm(x)), 2, axis=-1)
        return x + self.down(op.silu(gate) * up)


class Llama(nn.Module):
    """What web-llm calls, by the names that it knows."""

    def __init__(self, config):
        self.config = config
        self.vocabulary = config['vocab_size']
        hidden = config['hidden_size']
        self.embedding = nn.Parameter((self.vocabulary, hidden), F32)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config['num_hidden_layers'])])
        self.norm = nn.RMSNorm(hidden, -1, config['rms_norm_eps'], bias=False, dtype=F32)

    def embed(self, input_ids):
        return op.take(self.embedding, input_ids, axis=0)

    def hidden(self, x, cache):
        for block in self.blocks:
            x = block(x, cache)
        return self.norm(x)

    def logits(self, x):
        return op.tensor_expr_op(product, 'NT_matmul', [x, self.embedding])

    def prefill(self, input_embed, paged_kv_cache):
        hidden = self.hidden(input_embed, paged_kv_cache)
        return self.logits(op.tensor_expr_op(last_row, 'last', [hidden])), paged_kv_cache

    def decode(self, input_embed, paged_kv_cache):
        return self.logits(self.hidden(input_embed, paged_kv_cache)), paged_kv_cache

    def softmax_with_temperature(self, logits, temperature):
        rows = logits.shape[0]
        x = op.reshape(logits, (rows, self.vocabulary // PART, PART)) / op.reshape(temperature, (rows, 1, 1))
        largest = op.max(op.max(x, -1, keepdims=True), 1, keepdims=True)
        e = op.exp(x - largest)
        total = op.sum(op.sum(e, -1, keepdims=True), 1, keepdims=True)
        return op.reshape(e / total, (rows, 1, self.vocabulary))

    def create_tir_paged_kv_cache(
        self,
        max_batch_size: tirx.Var,
        max_total_seq_len: tirx.Var,
        prefill_chunk_size: tirx.Var,
        page_size: tirx.Var,
        support_sliding_window: tirx.Var,
    ):
        config = self.config
        layers, heads = config['num_hidden_layers'], config['num_attention_heads']
        head = config['hidden_size'] // heads
        return TIRPagedKVCache(
            'mha',
            max_batch_size,
            max_total_seq_len,
            prefill_chunk_size,
            page_size,
            support_sliding_window,
            layer_partition=relax.ShapeExpr([0, layers]),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=config['num_key_value_heads'],
            qk_head_dim=head,
            v_head_dim=head,
            mla_original_qk_head_dim=0,
            mla_original_v_head_dim=0,
            rope_mode=RopeMode.NORMAL,
            rope_scale=1,
            rope_theta=int(config['rope_theta']),
            rope_scaling={},
            rope_ext_factors=relax.prim_value(0),
            rotary_dim=head,
            enable_disaggregation=False,
            dtype=F32,
            target=TARGET,
        )


def specification(config):
    hidden, vocabulary = config['hidden_size'], config['vocab_size']
    tensor = nn.spec.Tensor
    cache = nn.spec.Object(object_type=PagedKVCache)
    weighted = {'param_mode': 'packed', 'effect_mode': 'none'}
    bare = {'param_mode': 'none', 'effect_mode': 'none'}
    sizes = ('max_batch_size', 'max_total_seq_len', 'prefill_chunk_size', 'page_size', 'support_sliding_window')
    return {
        'embed': {'input_ids': tensor(['seq_len'], 'int32'), '$': weighted},
        'prefill': {'input_embed': tensor([1, 'seq_len', hidden], F32), 'paged_kv_cache': cache, '$': weighted},
        'decode': {'input_embed': tensor([1, 1, hidden], F32), 'paged_kv_cache': cache, '$': weighted},
        'softmax_with_temperature': {
            'logits': tensor(['batch_size', 1, vocabulary], F32),
            'temperature': tensor(['batch_size'], F32),
            '$': bare,
        },
        'create_tir_paged_kv_cache': {**dict.fromkeys(sizes, int), '$': bare},
    }


def add_samplers(builder, vocabulary):
    """Sampling of one row."""
    probs = relax.Var('probs', R.Tensor((1, vocabulary), F32))
    with builder.function('argsort_probs', [probs]):
        with builder.dataflow():
            order = builder.emit(relax.op.argsort(probs, axis=-1, descending=True, dtype='int32'))

            def taken(p, i):
                return te.compute(p.shape, lambda row, at: p[row, i[row, at]], name='taken')

            ordered = builder.emit_te(taken, probs, order)
            result = builder.emit_output(relax.Tuple([ordered, order]))
        builder.emit_func_output(result)

    shapes = {
        'sorted_probs': ((1, vocabulary), F32),
        'sorted_indices': ((1, vocabulary), 'int32'),
        'uniform_samples': ((1,), F32),
        'sample_indices': ((1,), 'int32'),
        'top_p': ((1,), F32),
    }
    given = [relax.Var(name, R.Tensor(*shape)) for name, shape in shapes.items()]
    with builder.function('sample_with_top_p', given):
        with builder.dataflow():

            def column(x):
                return nn.Tensor(_expr=builder.emit(relax.op.reshape(x, (1, 1))))

            ordered, order, uniform, row, top_p = given
            every = relax.op.full((1, 1), relax.const(vocabulary, 'int32'), 'int32')
            chosen = op.sample_top_p_top_k_from_sorted_prob(
                nn.Tensor(_expr=ordered),
                nn.Tensor(_expr=order),
                column(top_p),
                nn.Tensor(_expr=builder.emit(every)),
                column(uniform),
                column(row),
            )
            result = builder.emit_output(relax.op.reshape(chosen._expr, (1,)))
        builder.emit_func_output(result)

    # web-llm looks for these at once; a reply without penalties, biases and grammars calls none of them.
    for name, count in (('apply_bitmask', 2), ('apply_penalty', 5), ('apply_logit_bias', 3)):
        logits = relax.Var('logits', R.Tensor((1, vocabulary), F32))
        others = [relax.Var(f'other{i}', relax.AnyType()) for i in range(count)]
        with builder.function(f'{name}_inplace', [logits, *others]):
            builder.emit_func_output(logits)


def sort_in_two_dimensions():
    """TVM's sort numbers the rows of a batch by a third dimension of the grid, which its WebGPU code refuses; there is one row here."""
    # The package has a function of the module's name.
    sort = importlib.import_module('tvm.topi.gpu.sort')
    text = inspect.getsource(sort._sort_common)
    for before, after in (
        ('bx = te.thread_axis("blockIdx.z")', 'bx = te.thread_axis("blockIdx.y")'),
        ('by = te.thread_axis("blockIdx.y")  # batch', 'by = 0'),
        ('                T.attr(by, "thread_extent", nthread_by),\n                T.attr(bz', '                T.attr(bz'),
    ):
        if before not in text:
            sys.exit(f'This TVM sorts in another way: {before} is not there.')
        text = text.replace(before, after)
    exec(text, sort.__dict__)


def main():
    folder, objects, library = sys.argv[1:]
    with open(os.path.join(folder, 'config.json')) as file:
        config = json.load(file)
    sort_in_two_dimensions()
    with TARGET:
        module, parameters = Llama(config).export_tvm(spec=specification(config))
    builder = relax.BlockBuilder(module)
    add_samplers(builder, config['vocab_size'])
    about = {
        'model_type': 'llama',
        'quantization': 'q0f32',
        'context_window_size': LIMIT,
        'sliding_window_size': -1,
        'attention_sink_size': -1,
        'prefill_chunk_size': PREFILL,
        'tensor_parallel_shards': 1,
        'kv_state_kind': 'kv_cache',
        'max_batch_size': 1,
        'params': [
            {'name': name, 'shape': [int(size) for size in value.shape], 'dtype': F32, 'preprocs': []}
            for name, value in parameters
        ],
    }
    with builder.function('_metadata', []):
        builder.emit_func_output(tvm.ir.StringImm(json.dumps(about)))

    def link(output, files, options=None, **_):
        runtime = [os.path.join(objects, f'{name}.o') for name in RUNTIME]
        settings = (
            'WASM_BIGINT=1 ERROR_ON_UNDEFINED_SYMBOLS=0 STANDALONE_WASM=1 ALLOW_MEMORY_GROWTH=1 TOTAL_MEMORY=160MB'
        )
        flags = ['-O3', '--no-entry', *(f'-s{setting}' for setting in settings.split())]
        subprocess.run(['emcc', *flags, '-o', output, *runtime, *files], check=True)

    link.object_format = 'o'
    with TARGET:
        relax.build(builder.finalize(), TARGET, system_lib=True).export_library(library, fcompile=link)


if __name__ == '__main__':
    main()
