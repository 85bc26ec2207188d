"""Exporting for TF Serving: a numbered SavedModel that takes encoded images, pixels or strings."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_folder, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec
from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.data.decode import WHITE
from tftune.errors import ConfigError, ExportError
from tftune.exporters import serving_runner
from tftune.exporters.certificate import Answers, Budget, certify
from tftune.exporters.description import SPEC_FILE, label_files, spec_text
from tftune.exporters.full_disk import full_disk_named
from tftune.exporters.head_answers import answer_keys
from tftune.exporters.served_network import served_network
from tftune.exporters.serving_bundle import write_bundle
from tftune.exporters.signatures import image_signatures, mark_methods
from tftune.exporters.text_signatures import check_text_export, text_shape, text_signatures
from tftune.exporters.warm_up import check_serving_api, write_warm_up
from tftune.results.export import Certificate, Export

# The graph is the same; what may differ is the order of float32 sums inside a convolution. Rounding
# large weights to float16 moved a probability by 0.004 at most; bfloat16 keeps three bits fewer.
_TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 0.16}
_MAX_DROPS = {"float32": 0.0, "float16": 0.01, "bfloat16": 0.02}
_WARM_UPS = 16


def export_saved_model(
    model: TransferModel,
    path: str | os.PathLike[str],
    verify: Split | None = None,
    allow_drop: bool = False,
    bundle: bool = False,
    weights_dtype: str = "float32",
    frozen: bool = False,
) -> Export:
    """Write the next version of a SavedModel that TF Serving can load.

    Signatures: `serving_default` takes `image_bytes`, a batch of encoded images (JPEG, PNG, GIF,
    BMP) of any sizes, and honours the EXIF orientation of JPEG and the transparency of PNG (see
    `tftune.data.decode.decode_image`); `predict_pixels` takes `pixels`, float32 (batch, height,
    width, 3), RGB in [0, 255], of any size, `predict_pixels_uint8` the same as uint8. They resize
    as the model does and answer as `tftune.exporters.head_answers.served_answers` says: for one
    class out of several `probabilities` and `scores` (batch, num_classes), `classes` (batch,
    num_classes) and `label` (batch,). `classify` and `regress` are TF Serving's Classify and
    Regress APIs over tf.Example with the feature `image/encoded`, one signature a head and
    quantity. `embed` gives the features that the heads see. The class names and the model's own
    description are in `assets.extra/` too.

    A model of texts takes `text`, a batch of strings (for pairs (batch, 2)), in `serving_default`
    and `embed`, and the feature `text` of a tf.Example; it needs a server or program with the
    operations of TF-Text, which TF Serving has, if its tokenizer is BERT's.

    With `verify` the export is loaded by plain TensorFlow in a process of its own, which imports
    neither tftune nor keras, and fed the examples' original files.

    Args:
        model: what to export.
        path: the model's folder; the version is the next integer inside it.
        verify: held-out examples to compare the export with the Keras model on.
        allow_drop: write an export past its budget all the same; its certificate says so.
        bundle: also write warm-up requests of examples from `verify` into the version, and
            `<path>.serving/` with the server's settings and clients. Not for pairs of texts.
        weights_dtype: "float32", or "float16" or "bfloat16" to store large weights in half the
            bytes; arithmetic stays in float32.
        frozen: keep the weights as constants inside the graph, for tools that want one file.

    Returns:
        What was written, with its certificate.

    Raises:
        ExportError: if `path` is a file, the disk is full, or the export does not give the model's
            answers; nothing is left behind then.
        ConfigError: if `weights_dtype` is unknown, or a bundle is asked for without `verify` or
            tensorflow-serving-api.
    """
    base = Path(path)
    if base.is_file():
        raise ExportError(f"`path` must be a folder. Received a file: {str(path)!r}.")
    if bundle:
        check_serving_api()
        if verify is None or not len(verify):
            raise ConfigError(
                f"`bundle` needs real {model.contract.things} to warm up with: give `verify`."
            )
    reads_texts = isinstance(model.contract, TextInput)
    if isinstance(model.contract, TextInput):
        check_text_export(model.contract, bundle)
    network = served_network(model, weights_dtype, frozen)
    signatures = (text_signatures if reads_texts else image_signatures)(model, network)
    target = base / str(next_version(base))
    certificate: Certificate | None = None
    notes = []
    with full_disk_named(base), replaced_folder(target) as folder:
        archive = keras.export.ExportArchive()
        archive.track(network.tracked)
        for name, signature in signatures.items():
            archive.add_endpoint(name, signature.function)
        archive.write_out(folder, verbose=False)
        mark_methods(folder, signatures)
        (folder / "assets.extra").mkdir()
        for name, text in {**label_files(model.heads), SPEC_FILE: spec_text(model.spec)}.items():
            (folder / "assets.extra" / name).write_text(text + "\n", encoding="utf-8")
        if bundle and verify is not None:
            chosen = range(min(len(verify), _WARM_UPS))
            background = WHITE if reads_texts else model.image_input.background
            encoded = [verify.examples.encoded(index, background) for index in chosen]
            write_warm_up(folder, base.name, encoded, "text" if reads_texts else "image_bytes")
        if verify is not None:
            budget = Budget(_TOLERANCES[weights_dtype], _MAX_DROPS[weights_dtype], allow_drop)
            certificate = certify(
                model,
                verify,
                lambda split: run_saved_model(folder, split, model.heads, model.contract),
                folder,
                budget,
            )
            # Before the version appears, so that it never stands there without them.
            write_json(base / f"{target.name}.certificate.json", certificate.to_json())
        if bundle:
            settings = write_bundle(base, base.name, model.heads, model.contract)
            notes.append(f"Settings and clients: {settings}/")
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    shown = {name: str(signature) for name, signature in signatures.items()}
    return Export(str(target), size, shown, certificate, notes=notes)


def _text_libraries() -> list[str]:
    """Find the operations of TF-Text, which servers link; the Python package imports keras."""
    spec = importlib.util.find_spec("tensorflow_text")
    folders = (spec.submodule_search_locations if spec else None) or ()
    return sorted(str(file) for f in folders for file in Path(f).glob("python/ops/_*.so"))


def next_version(base: Path) -> int:
    """Return one more than the highest version folder, 1 if there is none."""
    if not base.is_dir():
        return 1
    return 1 + max((int(p.name) for p in base.iterdir() if p.name.isdecimal()), default=0)


def run_saved_model(
    folder: Path,
    split: Split,
    heads: Sequence[HeadSpec],
    contract: ImageInput | TextInput,
    batch_size: int = 32,
) -> Answers:
    """Run an exported SavedModel over a split, twice, in a process of its own.

    Args:
        folder: the version folder.
        split: the examples, given as their original files or texts.
        heads: what it answers.
        contract: what it reads; its background is shown behind transparent pixels where a format
            must be re-encoded.
        batch_size: files a request.

    Returns:
        What it answered.

    Raises:
        ExportError: if the process fails.
    """
    keys = answer_keys(heads)
    reads_texts = isinstance(contract, TextInput)
    background = WHITE if isinstance(contract, TextInput) else contract.background
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / "answers.npz"
        request = Path(work) / "request.json"
        files: Sequence[str] = [str(Path(work) / f"{index}") for index in range(len(split))]
        for index, name in enumerate(files):
            Path(name).write_bytes(split.examples.encoded(index, background))
        write_json(
            request,
            {
                "folder": os.path.abspath(folder),
                "input": "text" if reads_texts else "image_bytes",
                "shape": text_shape(contract),
                "libraries": _text_libraries() if reads_texts else [],
                "outputs": list(keys.values()),
                "files": files,
                "batch_size": batch_size,
                "output": str(output),
            },
        )
        done = subprocess.run(
            [sys.executable, serving_runner.__file__, str(request)],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if done.returncode or not output.exists():
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ExportError(f"Plain TensorFlow cannot run the SavedModel: {last[0]}")
        with np.load(output) as answers:
            return Answers(
                f"TensorFlow {tf.__version__}, without keras",
                {head: answers[f"first {key}"] for head, key in keys.items()},
                {head: answers[f"repeated {key}"] for head, key in keys.items()},
                float(answers["latency_ms"]),
            )
