"""tftune: transfer learning with Keras, from a folder of images to TF Serving and phones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and the modules that define them; imported on first use, so that `import tftune`
# does not wait for TensorFlow.
_HOMES = {
    "AuditReport": "tftune.results.audit",
    "Augmentation": "tftune.data.augment",
    "Dataset": "tftune.data.dataset",
    "Evaluation": "tftune.results.evaluation",
    "Export": "tftune.results.export",
    "Phase": "tftune.config.phase",
    "Plan": "tftune.config.plan",
    "Choice": "tftune.tuning.ranges",
    "Float": "tftune.tuning.ranges",
    "Int": "tftune.tuning.ranges",
    "SearchResult": "tftune.results.search_result",
    "SearchSpace": "tftune.tuning.search_space",
    "Split": "tftune.data.dataset",
    "TextAugmentation": "tftune.data.augment_texts",
    "TftuneError": "tftune.errors",
    "TrainingRun": "tftune.results.training_run",
    "TransferModel": "tftune.builders.transfer_model",
    "audit": "tftune.evaluation.audit",
    "build_text_classifier": "tftune.builders.text_classifier",
    "calibrate": "tftune.evaluation.calibration",
    "compare": "tftune.evaluation.compare",
    "compare_runs": "tftune.reports.compare_runs",
    "benchmark_tflite": "tftune.exporters.runtime_benchmark",
    "build_image_classifier": "tftune.builders.image_classifier",
    "convert_bert": "tftune.builders.bert_to_hub",
    "diagnose": "tftune.exporters.doctor",
    "cross_validate": "tftune.training.probe_studies",
    "evaluate": "tftune.evaluation.evaluate",
    "export_saved_model": "tftune.exporters.saved_model",
    "export_tflite": "tftune.exporters.tflite",
    "find_learning_rate": "tftune.training.learning_rate",
    "fit_unknown": "tftune.evaluation.unknown",
    "fine_tune": "tftune.training.fine_tune",
    "attribute_words": "tftune.evaluation.attribute",
    "grad_cam": "tftune.evaluation.grad_cam",
    "load": "tftune.builders.transfer_model",
    "load_image_arrays": "tftune.data.image_arrays",
    "load_image_folder": "tftune.data.image_folder",
    "load_image_table": "tftune.data.image_table",
    "load_tagged_words": "tftune.data.tagged_words",
    "load_text_folder": "tftune.data.text_folder",
    "load_text_table": "tftune.data.text_table",
    "load_texts": "tftune.data.text_folder",
    "load_tf_dataset": "tftune.data.tf_dataset",
    "load_tfds": "tftune.data.tfds",
    "measure_cost": "tftune.evaluation.cost",
    "measure_robustness": "tftune.evaluation.robustness",
    "measure_slices": "tftune.evaluation.robustness",
    "plan": "tftune.training.plan",
    "plot_confused_pairs": "tftune.evaluation.mistakes",
    "plot_mistakes": "tftune.evaluation.mistakes",
    "plot_neighbours": "tftune.evaluation.mistakes",
    "plot_augmentations": "tftune.data.plot_augmentations",
    "rank_backbones": "tftune.training.probe_studies",
    "write_model_card": "tftune.reports.model_card",
    "write_report": "tftune.reports.run_report",
    "search": "tftune.tuning.search",
    "verify_export": "tftune.exporters.verify",
}

_SUBMODULES = {"plans"}

__all__ = sorted({*_HOMES, *_SUBMODULES})

if TYPE_CHECKING:
    from tftune import plans
    from tftune.builders.bert_to_hub import convert_bert
    from tftune.builders.image_classifier import build_image_classifier
    from tftune.builders.text_classifier import build_text_classifier
    from tftune.builders.transfer_model import TransferModel, load
    from tftune.config.phase import Phase
    from tftune.config.plan import Plan
    from tftune.data.augment import Augmentation
    from tftune.data.augment_texts import TextAugmentation
    from tftune.data.dataset import Dataset, Split
    from tftune.data.image_arrays import load_image_arrays
    from tftune.data.image_folder import load_image_folder
    from tftune.data.image_table import load_image_table
    from tftune.data.plot_augmentations import plot_augmentations
    from tftune.data.tagged_words import load_tagged_words
    from tftune.data.text_folder import load_text_folder, load_texts
    from tftune.data.text_table import load_text_table
    from tftune.data.tf_dataset import load_tf_dataset
    from tftune.data.tfds import load_tfds
    from tftune.errors import TftuneError
    from tftune.evaluation.attribute import attribute_words
    from tftune.evaluation.audit import audit
    from tftune.evaluation.calibration import calibrate
    from tftune.evaluation.compare import compare
    from tftune.evaluation.cost import measure_cost
    from tftune.evaluation.evaluate import evaluate
    from tftune.evaluation.grad_cam import grad_cam
    from tftune.evaluation.mistakes import plot_confused_pairs, plot_mistakes, plot_neighbours
    from tftune.evaluation.robustness import measure_robustness, measure_slices
    from tftune.evaluation.unknown import fit_unknown
    from tftune.exporters.doctor import diagnose
    from tftune.exporters.runtime_benchmark import benchmark_tflite
    from tftune.exporters.saved_model import export_saved_model
    from tftune.exporters.tflite import export_tflite
    from tftune.exporters.verify import verify_export
    from tftune.reports.compare_runs import compare_runs
    from tftune.reports.model_card import write_model_card
    from tftune.reports.run_report import write_report
    from tftune.results.audit import AuditReport
    from tftune.results.evaluation import Evaluation
    from tftune.results.export import Export
    from tftune.results.search_result import SearchResult
    from tftune.results.training_run import TrainingRun
    from tftune.training.fine_tune import fine_tune
    from tftune.training.learning_rate import find_learning_rate
    from tftune.training.plan import plan
    from tftune.training.probe_studies import cross_validate, rank_backbones
    from tftune.tuning.ranges import Choice, Float, Int
    from tftune.tuning.search import search
    from tftune.tuning.search_space import SearchSpace


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"tftune.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tftune' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
