#!/usr/bin/env python3
"""Makes test/fixtures/gguf-blocks.json: blocks of every type of a GGUF that is read, random but for their scales, and the f32
values that the Python package gguf makes of them.

    pip install numpy==2.4.6 gguf==0.19.0
    python3 scripts/make-gguf-fixtures.py
"""
import base64
import json
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

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


def main():
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
