"""Text models on phones: size, speed and answers of every form, on 500 real mails.

    python -m benchmarks text_exports [--encoder PAIR]

The mails are SpamAssassin's, or `--data TABLE`; MiniLM is benchmarks/minilm.py's, or PAIR, which
`tftune convert-bert` wrote. A head is trained on 500 mails, "ngrams" as a whole; 500 of those held
out are compared from their original strings, and given to MediaPipe's TextClassifier. MediaPipe
keeps accents, so differences are told of all mails and of those that have the same tokens there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tftune
from benchmarks import corpora, minilm
from benchmarks.corpora import LENGTH, dataset
from benchmarks.results import OWN_TEXTS, Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.evaluation.evaluate import predict_split
from tftune.exporters.text_phone import text_phone

FORMS = ("none", "float16", "dynamic")
TRAINED = COMPARED = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, help="a pair, instead of MiniLM's")
    add_arguments(parser, OWN_TEXTS)
    arguments = parser.parse_args()
    results = Results("text_exports", arguments.minutes, arguments.fresh, arguments.data)
    cases = [{"encoder": encoder} for encoder in ("MiniLM", "ngrams")]
    for case in results.todo(cases):
        pair = "ngrams"
        if case["encoder"] == "MiniLM":
            pair = str(arguments.encoder or minilm.pair())
        data = dataset(*corpora.load("mails", arguments.data), 0, TRAINED)
        results.add(case, _measure(pair, data))
    for case in cases:
        for row in results.rows(**case):
            figures = row["figures"]
            count = figures["compared"]
            print(f"\n{case['encoder']}: Keras {figures['accuracy']:.3f} on {count} texts")
            print(f"{figures['alike']} of {count} reach the phone's network as they do ours")
            print(
                "form       MB  accuracy  agrees  difference of all  of those  MediaPipe agrees  ms"
            )
            for form in FORMS:
                told = {
                    name.partition(" ")[2]: value
                    for name, value in figures.items()
                    if name.startswith(form)
                }
                print(
                    f"{form:<8} {told['megabytes']:>5.1f}  {told['accuracy']:>8.3f}  "
                    f"{told['agreement']:>6.3f}  {told['difference']:>17.1e}  {told['alike']:>8.1e}"
                    f"  {told['mediapipe']:>16.3f}  {told['ms']:>4.1f}"
                )
                print("  " + "\n  ".join(told["notes"]))
    print(describe())


def _measure(encoder: str, data: tftune.Dataset) -> dict[str, Any]:
    length = None if encoder == "ngrams" else LENGTH
    model = tftune.build_text_classifier(encoder, data, sequence_length=length)
    options = {} if encoder == "ngrams" else {"fine_tune_epochs": 0}
    held_out = data.test.take(range(min(COMPARED, len(data.test))))
    figures: dict[str, Any] = {"compared": len(held_out)}
    with tempfile.TemporaryDirectory() as folder:
        plan = tftune.plan(model, data, estimate=False, **options)
        store = ActivationStore(Path(folder, "cache"))
        tftune.fine_tune(model, data, plan, verbose=False, store=store)
        expected = predict_split(model, held_out).argmax(axis=1)
        figures["accuracy"] = float(np.mean(expected == held_out.labels))
        alike = np.flatnonzero(text_phone(model, data.train).same_inputs(held_out))
        figures["alike"] = len(alike)
        for form in FORMS:
            export = tftune.export_tflite(
                model,
                Path(folder, f"{form}.tflite"),
                quantize=form,
                verify=held_out,
                calibration=data.train,
                allow_drop=True,
            )
            head = export.certificate.heads[0]
            of_alike = float("nan")
            if len(alike):  # the same file, on those texts alone that both tokenizers read alike
                again = tftune.verify_export(export.path, held_out.take(alike), model)
                of_alike = again.certificate.heads[0].max_difference
            phone = _mediapipe(export.path, held_out.examples.columns[0], data.class_names)
            figures |= {
                f"{form} megabytes": export.size_bytes / 1e6,
                f"{form} accuracy": head.after["accuracy"].value,
                f"{form} agreement": head.agreement,
                f"{form} difference": head.max_difference,
                f"{form} alike": of_alike,
                f"{form} mediapipe": float(np.mean(phone == expected)),
                f"{form} ms": export.certificate.latency_ms,
            }
            figures[f"{form} notes"] = list(export.certificate.notes)
    return figures


def _mediapipe(path: str, texts: tuple[str, ...], class_names: tuple[str, ...]) -> np.ndarray:
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python import text as tasks

    options = tasks.TextClassifierOptions(
        base_options=BaseOptions(model_asset_path=path), max_results=1
    )
    with tasks.TextClassifier.create_from_options(options) as classifier:
        return np.array(
            [
                class_names.index(
                    classifier.classify(text).classifications[0].categories[0].category_name
                )
                for text in texts
            ]
        )


if __name__ == "__main__":
    main()
