"""Fixtures: small real files and small random networks."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

import tftune

# Nothing is said of time: a busy machine, or the first call, which imports, would fail a test.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Every test starts with an empty activation cache of its own."""
    monkeypatch.setenv("TFTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))


# What differs from machine to machine, and how expected texts write it.
VOLATILE = (
    (r"\bunder 1 s\b|\b\d+(\.\d+)? (s|ms|min)\b", "# s"),
    (r"\b\d+(\.\d+)? [kMGT]?B\b", "# MB"),
    (r"\b\d+ CPU cores, (no|\d+) GPU\b", "# CPU cores, # GPU"),
)


@pytest.fixture(scope="session")
def same_text():
    """Compare what was printed with `tests/expected/NAME.txt`, and look at it as a terminal would.

    `REWRITE_EXPECTED=1 pytest tests/cli tests/reports` writes these files anew: look at what
    changed before you commit it.
    """

    def check(name: str, text: str) -> None:
        assert "\x1b" not in text
        lines = [line.rstrip() for line in text.splitlines()]
        assert [line for line in lines if len(line) > 80] == []
        # Boxes belong to the versions of rich and typer.
        lines = [re.sub(r"\s*[│╭╰][─ ]?|[─ ]*[│╮╯]$", "", line) for line in lines]
        plain = "\n".join(lines) + "\n"
        masked = plain
        for pattern, shown in VOLATILE:
            masked = re.sub(pattern, shown, masked)
        if masked != plain:  # and so columns may have other widths
            masked = re.sub(r"─+", "──", re.sub(r"(?<=\S) {2,}", "  ", masked))
        file = Path(__file__).parent / "expected" / f"{name}.txt"
        if os.environ.get("REWRITE_EXPECTED"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(masked, encoding="utf-8")
        assert masked == file.read_text(encoding="utf-8")

    return check


def write_stripes(folder, images_a_class=8, side=48, seed=0):
    """Write PNG images of three classes that a network can tell apart by their stripes."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    patterns = {"diagonal": rows + columns, "horizontal": rows, "vertical": columns}
    for name, distance in patterns.items():
        (folder / name).mkdir(parents=True)
        for index in range(images_a_class):
            width = generator.integers(4, 9)
            stripes = ((distance // width) % 2 * 160 + 40).astype(np.float64)[..., None]
            pixels = stripes * generator.uniform(0.6, 1, 3) + generator.normal(
                0, 8, (side, side, 3)
            )
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def stripes_folder(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes")


@pytest.fixture(scope="session")
def stripes(stripes_folder):
    """24 images: 18 train, 3 validation, 3 test."""
    return tftune.load_image_folder(stripes_folder)


@pytest.fixture
def small_model(stripes):
    """EfficientNet-Lite0 with random weights at 32 pixels."""
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )


@pytest.fixture(scope="session")
def pretrained_model(stripes):
    """EfficientNet-Lite0 with its ImageNet weights at 64 pixels; tests must not train it."""
    return tftune.build_image_classifier("efficientnet_lite0", stripes, image_size=(64, 64))


def convolutions(*filters, side=32):
    """Build a backbone of a few convolutions: exported and trained in a fraction of the time."""
    image = keras.Input((side, side, 3))
    features = image
    for count in filters:
        features = keras.layers.Conv2D(count, 3, strides=2, use_bias=False)(features)
        features = keras.layers.BatchNormalization()(features)
        features = keras.layers.ReLU()(features)
    return keras.Model(image, features, name="convolutions")


@pytest.fixture(scope="session")
def tiny_model(stripes):
    """Two convolutions with random weights, for tests to which the network is all the same."""
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(convolutions(8, 16), stripes, preprocessing="unit")


@pytest.fixture
def heavy_model(stripes):
    """A network of three layers and 9.5 MB of weights."""
    return tftune.build_image_classifier(convolutions(256, 1024), stripes, preprocessing="unit")


TINY_WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a man is eating food . eats meal the sky very blue today , "
    "isn ' t it ? weather clear and sunny good great fine bad awful poor film movie was loved "
    "hated not ##s ##ing one two three"
)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A random two-layer BERT in Hugging Face's form on disk."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("data") / "tiny-bert"
    folder.mkdir()
    words = TINY_WORDS.split()
    width, inner, heads = 16, 32, 2
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": width,
        "intermediate_size": inner,
        "max_position_embeddings": 40,
        "num_attention_heads": heads,
        "num_hidden_layers": 2,
        "type_vocab_size": 2,
        "vocab_size": len(words),
    }
    generator = np.random.default_rng(0)
    tensors = {}

    def add(name, *shape):
        tensors[name] = generator.normal(0, 0.3, shape).astype(np.float32)

    def dense(name, outputs, inputs):
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def norm(name):
        add(f"{name}.weight", width)
        tensors[f"{name}.weight"] += 1
        add(f"{name}.bias", width)

    add("embeddings.word_embeddings.weight", len(words), width)
    add("embeddings.position_embeddings.weight", 40, width)
    add("embeddings.token_type_embeddings.weight", 2, width)
    norm("embeddings.LayerNorm")
    for number in range(2):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{part}", width, width)
        dense(f"{layer}.attention.output.dense", width, width)
        norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", inner, width)
        dense(f"{layer}.output.dense", width, inner)
        norm(f"{layer}.output.LayerNorm")
    dense("pooler.dense", width, width)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.fixture(scope="session")
def converted_bert(tiny_bert, tmp_path_factory):
    """The TF-Hub pair made of `tiny_bert`, for texts of up to 16 tokens."""
    return tftune.convert_bert(
        tiny_bert, tmp_path_factory.mktemp("data") / "pair", sequence_length=16
    )


@pytest.fixture(scope="session")
def understand():
    """Parse a `tftune ...` line; an unknown command, option or a missing argument raises."""
    import typer.main

    from tftune.cli.main import app

    def parse(line: str) -> None:
        program, name, *arguments = shlex.split(line, comments=True)
        assert program == "tftune"
        typer.main.get_command(app).commands[name].make_context(name, arguments)

    return parse


@pytest.fixture(scope="session")
def write_string_encoder():
    """Write a string-in encoder as TF-Hub's NNLM is: sums of rows of a small table."""
    import tensorflow as tf

    def write(folder, regularised=False):
        table = tf.Variable(
            np.random.default_rng(0).normal(0, 1, (64, 6)).astype("float32"), name="t"
        )

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="sentences")])
        def call(sentences):
            words = tf.strings.split(sentences)
            rows = tf.gather(table, tf.strings.to_hash_bucket_fast(words.flat_values, 64))
            return tf.math.unsorted_segment_sum(rows, words.value_rowids(), words.nrows())

        module = tf.train.Checkpoint(table=table)
        module.__call__ = call
        module.variables, module.trainable_variables = [table], [table]
        if regularised:
            module.regularization_losses = [
                tf.function(lambda: 0.5 * tf.reduce_sum(table**2), input_signature=[])
            ]
        tf.saved_model.save(module, str(folder), signatures={"serving_default": call})
        return folder

    return write
