#!/usr/bin/env python3
"""Writes test/fixtures/eval-smollm2.json: what lm-evaluation-harness says of SmolLM2 on test/fixtures/eval-task.jsonl.

    pip install lm_eval==0.4.13 torch==2.15.0 transformers==5.24.0
    python3 scripts/get-smollm2.py .models/smollm2-f32 --dtype f32
    python3 scripts/make-eval-fixture.py .models/smollm2-f32
"""
import json
import sys
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

FIXTURES = Path(__file__).resolve().parent.parent / 'test' / 'fixtures'
COMMON = {'dataset_path': 'json', 'test_split': 'test', 'metadata': {'version': 1}}
KINDS = {
    'choice': {
        'output_type': 'multiple_choice',
        'doc_to_text': '{{prompt}}',
        'doc_to_choice': '{{choices}}',
        'doc_to_target': '{{answer}}',
        'metric_list': [{'metric': 'acc'}, {'metric': 'acc_norm'}],
    },
    'text': {
        'output_type': 'loglikelihood_rolling',
        'doc_to_text': '',
        'doc_to_target': '{{text}}',
        'metric_list': [{'metric': name} for name in ('word_perplexity', 'byte_perplexity', 'bits_per_byte')],
    },
    'match': {
        'output_type': 'generate_until',
        'doc_to_text': '{{prompt}}',
        'doc_to_target': '{{answer[0]}}',
        'generation_kwargs': {'until': ['\n'], 'do_sample': False, 'max_gen_toks': 12},
        'metric_list': [{'metric': 'exact_match'}],
    },
}


def main(model):
    lines = [json.loads(line) for line in (FIXTURES / 'eval-task.jsonl').read_text().splitlines()]
    of = {
        'choice': [line for line in lines if 'choices' in line],
        'text': [line for line in lines if 'text' in line],
        'match': [line for line in lines if 'text' not in line and 'choices' not in line],
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind, items in of.items():
            data = Path(folder) / f'{kind}.json'
            data.write_text('\n'.join(map(json.dumps, items)))
            task = {'task': f'own_{kind}', 'dataset_kwargs': {'data_files': {'test': str(data)}}, **COMMON, **KINDS[kind]}
            # YAML reads JSON.
            (Path(folder) / f'{kind}.yaml').write_text(json.dumps(task))
        found = lm_eval.simple_evaluate(
            model=HFLM(pretrained=model, device='cpu', dtype='float32', batch_size=1),
            tasks=[f'own_{kind}' for kind in KINDS],
            task_manager=TaskManager(include_path=folder),
            log_samples=True,
            bootstrap_iters=0,
        )
    results, samples = found['results'], found['samples']
    figures = {
        name.split(',')[0]: value
        for result in results.values()
        for name, value in result.items()
        if name.endswith(',none') and '_stderr' not in name
    }
    logprobs = [[float(each[0][0]) for each in sample['resps']] for sample in samples['own_choice']]
    said = [sample['resps'][0][0] for sample in samples['own_match']]
    # Where several answers are right, the first is all that the harness knows: it is not its count that is held.
    figures.pop('exact_match', None)
    fixture = {'lm_eval': lm_eval.__version__, 'figures': figures, 'logprobs': logprobs, 'said': said}
    (FIXTURES / 'eval-smollm2.json').write_text(json.dumps(fixture, indent=1) + '\n')


main(sys.argv[1])
