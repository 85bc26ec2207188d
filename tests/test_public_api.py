"""The public names are few, sorted, and cost nothing until used."""

import subprocess
import sys

import tftune

PUBLIC_NAMES = [
    "AuditReport",
    "Augmentation",
    "Choice",
    "Dataset",
    "Evaluation",
    "Export",
    "Float",
    "Int",
    "Phase",
    "Plan",
    "SearchResult",
    "SearchSpace",
    "Split",
    "TextAugmentation",
    "TftuneError",
    "TrainingRun",
    "TransferModel",
    "attribute_words",
    "audit",
    "benchmark_tflite",
    "build_image_classifier",
    "build_text_classifier",
    "calibrate",
    "compare",
    "compare_runs",
    "convert_bert",
    "cross_validate",
    "diagnose",
    "evaluate",
    "export_saved_model",
    "export_tflite",
    "find_learning_rate",
    "fine_tune",
    "fit_unknown",
    "grad_cam",
    "load",
    "load_image_arrays",
    "load_image_folder",
    "load_image_table",
    "load_tagged_words",
    "load_text_folder",
    "load_text_table",
    "load_texts",
    "load_tf_dataset",
    "load_tfds",
    "measure_cost",
    "measure_robustness",
    "measure_slices",
    "plan",
    "plans",
    "plot_augmentations",
    "plot_confused_pairs",
    "plot_mistakes",
    "plot_neighbours",
    "rank_backbones",
    "search",
    "verify_export",
    "write_model_card",
    "write_report",
]


def test_the_public_names_change_only_on_purpose():
    assert tftune.__all__ == PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert getattr(tftune, name).__doc__


def test_importing_tftune_imports_no_heavy_package_and_changes_nothing():
    program = (
        "import os, sys, logging, warnings\n"
        "before = (dict(os.environ), logging.root.level, list(warnings.filters))\n"
        "import tftune\n"
        "after = (dict(os.environ), logging.root.level, list(warnings.filters))\n"
        "assert before == after\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pandas', 'sklearn', 'rich', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr


def test_an_unknown_name_is_an_attribute_error():
    try:
        tftune.nonsense  # noqa: B018
    except AttributeError as error:
        assert "nonsense" in str(error)
    else:
        raise AssertionError("no error")
