"""The tokenizers told here are MediaPipe's: a model whose scores are its inputs shows them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tftune.exporters.phone_tokens import BertPhoneTokenizer, WordPhoneTokenizer
from tftune.exporters.text_metadata import VOCABULARY_FILE, describe_text_model, word_lines
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import OutputNotes, attach

pytest.importorskip("mediapipe", reason="MediaPipe is not installed here")

LENGTH = 24
PIECES = [
    *"[PAD] [UNK] [CLS] [SEP] [MASK] the film was good bad un ##believ ##able e ##t ##e".split(),
    *"! ' , . - “ ” 很 好 𠀀 co ##op ##era ##tion 1 2 ##3 $ € # ß ##ss i ##̇ naive".split(),
    *"café i̇ ё é ##é".split(),
]
TEXTS = [
    "",
    " ",
    "The FILM was good!",
    "unbelievable, un-believable",
    "café CAFÉ cafe\u0301 naïve",
    "The\u00a0film\u2003was\u3000good",
    "the\tfilm\nwas\r\ngood\x0bbad\x0cbad",
    "很好的film 𠀀𠀀 ｆｉｌｍ",
    "“good” — bad… ‹the›",
    "good\u200bfilm good\u00adfilm \ufefffilm",
    "\U0001f600 good\U0001f600 👩\u200d👧",
    "$1.23 €1 #1 1,2",
    "İSTANBUL ISTANBUL ßẞ",
    "Ёлка ёлка",
    "x" * 101 + " good",
    "é" * 51 + " good",
    "[CLS] [SEP] ##able ##",
    "good\x00bad the",
    "\x01good\x7f bad\x85film",
    " ".join(["good bad"] * 30),
    "ﬁlm ﬀ Ⅻ ² ½ ٣",
    "a_b the_film good_",
    "e\u0301 e\u0301t\u0301",
]


def _shown(path, texts):
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python import text as tasks

    options = tasks.TextClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path)), max_results=-1, score_threshold=-1.0
    )
    with tasks.TextClassifier.create_from_options(options) as classifier:
        for text in texts:
            found = classifier.classify(text).classifications[0].categories
            scores = {category.category_name: category.score for category in found}
            yield np.array([int(scores[str(place)]) for place in range(len(scores))])


def _reader(folder, names, vocabulary):
    """Write a model whose scores are its inputs, one after another."""
    specs = [tf.TensorSpec((1, LENGTH), tf.int32, name=name) for name in names]

    @tf.function(input_signature=specs)
    def read(*inputs):
        return {"scores": tf.cast(tf.concat(inputs, 1), tf.float32)}

    archive = keras.export.ExportArchive()
    archive.track(tf.Module())
    archive.add_endpoint("serving_default", read)
    archive.write_out(folder / "saved", verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()
    ordered = inspect_tflite(content).input_names
    about = describe_text_model("reader", "", ordered, [OutputNotes("scores", "", "labels.txt")])
    labels = "\n".join(str(place) for place in range(LENGTH * len(names)))
    path = folder / "reader.tflite"
    path.write_bytes(attach(content, about, {"labels.txt": labels, VOCABULARY_FILE: vocabulary}))
    return path


def test_word_pieces_are_mediapipes(tmp_path):
    names = ("ids", "mask", "segment_ids")
    path = _reader(tmp_path, names, "\n".join(PIECES))
    tokenizer = BertPhoneTokenizer(PIECES)
    for text, shown in zip(TEXTS, _shown(path, TEXTS), strict=True):
        told = np.concatenate([tokenizer.inputs(text, LENGTH)[name][0] for name in names])
        np.testing.assert_array_equal(told, shown, err_msg=repr(text))


def test_words_are_mediapipes(tmp_path):
    forms = ["good", "Good", "film", "café", "CAFÉ", "naïve", "1", "23", "很好的film", "ёлка", "½"]
    vocabulary = {"<PAD>": 0, "<UNKNOWN>": 1, **{f: 2 + i // 2 for i, f in enumerate(forms)}}
    path = _reader(tmp_path, ("ids",), word_lines(vocabulary))
    tokenizer = WordPhoneTokenizer(vocabulary)
    for text, shown in zip(TEXTS, _shown(path, TEXTS), strict=True):
        told = tokenizer.inputs(text, LENGTH)["ids"][0]
        np.testing.assert_array_equal(told, shown, err_msg=repr(text))
