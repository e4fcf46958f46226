#!/usr/bin/env python3
"""Makes SmolLM2-135M-Instruct for web-llm, unquantized (q0f32): the library of the model and its weights.

    python3 scripts/peers/make-models.py
    python3 scripts/peers/web-llm/make.py

In .models/peers/web-llm/, in the layout that web-llm loads. web-llm has its models compiled, and its published ones are on a hub; this
compiles one from packages alone: TVM's Python wheel, which brings the C++ of its WebAssembly runtime, without some headers (`support/` has
what a page needs of these), and Debian's emscripten (`apt-get install emscripten`; 3.1.6 was used). Takes some minutes.
"""
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = HERE.parent.parent.parent / '.models' / 'peers'
TVM = HOME / 'tvm'
NEEDED = ['apache-tvm==0.27.0.post1', 'numpy==2.4.6']
# Of this one, headers alone are taken.
HEADERS = 'apache-tvm-tirx==0.1.0a4'
SHARD = 32 << 20


def run(*command):
    try:
        subprocess.run([str(part) for part in command], check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f'This did not work: {" ".join(map(str, command))} (status {error.returncode})')


def prepare():
    """The Python environment; where its packages are."""
    python = TVM / 'bin' / 'python'
    done = TVM / '.complete'
    wanted = ' '.join([*NEEDED, HEADERS])
    if not done.exists() or done.read_text() != wanted:
        venv.create(TVM, with_pip=True, clear=True)
        pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
        run(*pip, *NEEDED)
        run(*pip, '--no-deps', '--target', TVM / 'headers', HEADERS)
        done.write_text(wanted)
    return python, next((TVM / 'lib').glob('python*/site-packages'))


def lay_out(packages, work):
    """TVM's sources as their includes want them."""
    shutil.rmtree(work, ignore_errors=True)
    tvm = packages / 'tvm'
    shutil.copytree(tvm / 'web' / 'emcc', work / 'web' / 'emcc')
    shutil.copytree(tvm / 'src' / 'runtime', work / 'src' / 'runtime')
    shutil.copytree(tvm / 'include' / 'tvm', work / 'include' / 'tvm')
    support = work / 'include' / 'tvm' / 'support'
    own = HERE / 'support'
    (support / 'cuda').mkdir(parents=True)
    for name in ('io.h', 'serializer.h', 'bytes_io.h'):
        shutil.copy(TVM / 'headers' / 'tvm_tirx' / 'include' / 'tvm' / 'support' / name, support / name)
    shutil.copy(own / 'nvtx.h', support / 'cuda')
    (work / 'src' / 'support').mkdir()
    for name in ('utils.h', 'bytes_io.h', 'base64.h'):
        shutil.copy(own / name, work / 'src' / 'support')
    (work / '3rdparty' / 'compiler-rt').mkdir(parents=True)
    shutil.copy(own / 'builtin_fp16.h', work / '3rdparty' / 'compiler-rt')
    (work / '3rdparty' / 'tvm-ffi').symlink_to(packages / 'tvm_ffi')
    # Calls from another machine are left out: a page takes none.
    runtime = work / 'web' / 'emcc' / 'wasm_runtime.cc'
    lines = runtime.read_text().splitlines(keepends=True)
    runtime.write_text(''.join(line for line in lines if 'src/runtime/rpc/' not in line))
    page = work / 'web' / 'emcc' / 'tvmjs_support.cc'
    text = page.read_text().replace('#include "../../src/runtime/rpc/rpc_local_session.h"\n', '')
    page.write_text(text[: text.index('namespace tvm {')])


def build_runtime(packages):
    """The objects of TVM's runtime; where they are."""
    work = HOME / 'tvm-runtime'
    objects = work / 'objects'
    names = ('wasm_runtime', 'tvmjs_support', 'webgpu_runtime')
    if not all((objects / f'{name}.o').exists() for name in names):
        lay_out(packages, work)
        objects.mkdir()
        ffi = work / '3rdparty' / 'tvm-ffi'
        includes = [work, work / 'include', ffi / 'include', ffi / '3rdparty' / 'dlpack' / 'include']
        flags = [*(f'-I{path}' for path in includes), '-O3', '-std=c++17', '-Wno-ignored-attributes']
        for name in names:
            print(f'compiles {name}')
            run('emcc', *flags, '-c', '-o', objects / f'{name}.o', work / 'web' / 'emcc' / f'{name}.cc')
    return objects


def tensors():
    """The weights in the order and by the names of model.py. Runs in the environment."""
    import numpy as np

    place = importlib.util.spec_from_file_location('models', HERE.parent / 'make-models.py')
    models = importlib.util.module_from_spec(place)
    place.loader.exec_module(models)
    get = models.Folder(HOME / 'f32')
    yield 'embedding', get('model.embed_tokens.weight')
    for layer in range(get.config['num_hidden_layers']):
        theirs, own = f'model.layers.{layer}', f'blocks.{layer}'
        qkv = [get(f'{theirs}.self_attn.{part}_proj.weight') for part in 'qkv']
        yield f'{own}.input_norm.weight', get(f'{theirs}.input_layernorm.weight')
        yield f'{own}.qkv.weight', np.concatenate(qkv)
        yield f'{own}.o.weight', get(f'{theirs}.self_attn.o_proj.weight')
        yield f'{own}.post_norm.weight', get(f'{theirs}.post_attention_layernorm.weight')
        gate_up = [get(f'{theirs}.mlp.{part}_proj.weight') for part in ('gate', 'up')]
        yield f'{own}.gate_up.weight', np.concatenate(gate_up)
        yield f'{own}.down.weight', get(f'{theirs}.mlp.down_proj.weight')
    yield 'norm.weight', get('model.norm.weight')


def write_weights(folder):
    shards = [[]]
    for name, values in tensors():
        if shards[-1] and sum(v.nbytes for _, v in shards[-1]) + values.nbytes > SHARD:
            shards.append([])
        shards[-1].append((name, values))
    records = []
    for at, shard in enumerate(shards):
        path = f'params_shard_{at}.bin'
        start, entries = 0, []
        for name, values in shard:
            what = {'name': name, 'shape': list(values.shape), 'dtype': 'float32', 'format': 'raw'}
            entries.append({**what, 'nbytes': values.nbytes, 'byteOffset': start})
            start += values.nbytes
        data = b''.join(values.tobytes() for _, values in shard)
        (folder / path).write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        records.append(
            {'dataPath': path, 'format': 'raw-shard', 'nbytes': start, 'records': entries, 'md5sum': md5}
        )
    size = sum(record['nbytes'] for record in records)
    count = sum(len(record['records']) for record in records)
    metadata = {'ParamSize': count, 'ParamBytes': size, 'BitsPerParam': 32}
    (folder / 'tensor-cache.json').write_text(json.dumps({'metadata': metadata, 'records': records}))


def write_config(folder):
    config = json.loads((HOME / 'f32' / 'config.json').read_text())
    sizes = {'vocab_size': config['vocab_size'], 'context_window_size': 4096, 'prefill_chunk_size': 1024}
    names = ('hidden_size', 'intermediate_size', 'num_attention_heads', 'num_hidden_layers', 'rms_norm_eps')
    template = {
        'name': 'chatml',
        'system_template': '<|im_start|>system\n{system_message}<|im_end|>\n',
        'system_message': '',
        'roles': {'user': '<|im_start|>user', 'assistant': '<|im_start|>assistant'},
        'role_templates': {'user': '{user_message}', 'assistant': '{assistant_message}'},
        'seps': ['<|im_end|>\n'],
        'role_content_sep': '\n',
        'role_empty_sep': '\n',
        'stop_str': ['<|im_end|>'],
        'stop_token_ids': [2],
    }
    content = {
        'version': '0.1.0',
        'model_type': 'llama',
        'quantization': 'q0f32',
        'model_config': {name: config[name] for name in names} | sizes,
        **sizes,
        'sliding_window_size': -1,
        'attention_sink_size': -1,
        'tensor_parallel_shards': 1,
        'temperature': 0.0,
        'presence_penalty': 0.0,
        'frequency_penalty': 0.0,
        'repetition_penalty': 1.0,
        'top_p': 1.0,
        'tokenizer_files': ['tokenizer.json', 'tokenizer_config.json'],
        'tokenizer_info': {'token_postproc_method': 'byte_level', 'prepend_space_in_encode': False},
        'conv_template': template,
        'bos_token_id': config['bos_token_id'],
        'eos_token_id': config['eos_token_id'],
        'pad_token_id': config['eos_token_id'],
    }
    (folder / 'mlc-chat-config.json').write_text(json.dumps(content))
    for name in content['tokenizer_files']:
        shutil.copy(HOME / 'f32' / name, folder / name)


def main():
    # Where web-llm looks for what stands at an address.
    folder = HOME / 'web-llm' / 'resolve' / 'main'
    if sys.argv[1:] == ['--inside']:
        return write_weights(folder)
    if not (HOME / 'f32' / 'model.safetensors').exists():
        sys.exit('The weights are missing: python3 scripts/peers/make-models.py makes them.')
    if not shutil.which('emcc'):
        sys.exit('emcc is missing: apt-get install emscripten, on Debian.')
    folder.mkdir(parents=True, exist_ok=True)
    python, packages = prepare()
    objects = build_runtime(packages)
    library = HOME / 'web-llm' / 'model.wasm'
    print('compiles the model')
    run(python, HERE / 'model.py', HOME / 'f32', objects, library)
    run(python, __file__, '--inside')
    write_config(folder)
    print(f'{library}: {library.stat().st_size} bytes')


if __name__ == '__main__':
    main()
