"""Loading datasets of TensorFlow Datasets, images or texts, by name or from a prepared folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.data.assemble import assemble, split_name
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.examples import Examples
from tftune.data.image_files import ImageFiles, check_images
from tftune.data.kept_images import keep_image, kept_images_folder
from tftune.data.labels import target_of_array
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.data.text_examples import Texts
from tftune.errors import DataError, did_you_mean


def load_tfds(
    name: Any,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    image: str | None = None,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    download: bool = True,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    check_files: bool = True,
    on_bad: str = "raise",
) -> Dataset:
    """Load a dataset of TensorFlow Datasets.

    Its own splits are kept; one that is missing is taken out of train. Encoded images are copied
    once, as they are, into the cache folder (`TFTUNE_CACHE`), so that memory stays small.

    Args:
        name: such as "oxford_flowers102" or "mnist:3.0.1", a folder that holds one prepared version
            (with dataset_info.json), or a `tfds.core.DatasetBuilder`.
        data_dir: where TensorFlow Datasets keeps its data.
        image: the image feature; the only one by default.
        text: the text feature, or two of them for pairs; by default the only one, or the supervised
            one, of a dataset without images.
        label: the label feature, or several; the supervised one, or the only one, by default.
        download: download and prepare what is not in `data_dir`.
        validation_share: share of train for validation, in [0, 1), if it has no such split.
        test_share: share of train for test, in [0, 1), if it has no such split.
        seed: chooses which examples go to which split.
        check_files: decode every image once, so that a damaged one is named now.
        on_bad: "raise" names the images that cannot be used; "skip" leaves them out and lists them.

    Returns:
        A Dataset.

    Raises:
        DataError: if there is no such dataset or feature, or it is not prepared.
    """
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir, download)
    features = builder.info.features
    kinds = [type(feature) for feature in features.values()]
    if (
        text is None
        and image is None
        and not any(issubclass(k, tfds.features.Image) for k in kinds)
    ):
        text = _supervised(builder)[0] or _only(features, tfds.features.Text, "text")
    inputs = [text] if isinstance(text, str) else list(text or ())
    if len(inputs) > 2 or (inputs and image):
        raise DataError(
            "`text` must name one feature, or two for pairs, and no `image` be given beside it. "
            f"Received: {text!r}, {image!r}."
        )
    inputs = inputs or [image or _only(features, tfds.features.Image, "image")]
    labels = [label] if isinstance(label, str) else list(label or _labels(tfds, builder, inputs[0]))
    for key in (*inputs, *labels):
        if key not in features:
            raise DataError(
                f"{builder.name!r} has no feature {key!r}. It has: {', '.join(features)}."
                f"{did_you_mean(key, features)}"
            )
    keep = None if text is not None else _keeper()
    read, values, ready, passed_over = _read(tfds, builder, inputs, labels, keep)
    checked = [] if text is not None else check_images(read[0], decode=check_files)
    good, skipped = keep_good(
        [check.problem for check in checked] if keep else _empty(builder, read), on_bad
    )
    targets, notes = [], []
    for key in labels:
        title = key if len(labels) > 1 else DEFAULT_TARGET
        target, said = _target(features[key], title, [values[key][index] for index in good])
        targets.append(target)
        notes.extend(said)
    if passed_over:
        notes.append(f"Not used: {', '.join(map(repr, passed_over))}, which are no usual splits.")
    examples: Examples
    if text is not None:
        rows = [tuple(column[index] for column in read) for index in good]
        examples = Texts.of(rows, [f"example {index + 1}" for index in good])
    else:
        examples = ImageFiles(
            tuple(checked[index].path for index in good),
            tuple(checked[index].decoder for index in good),
            tuple(checked[index].fingerprint for index in good) if check_files else None,
        )
    return assemble(
        examples,
        targets,
        source=builder.info.full_name,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=[ready[index] for index in good],
        notes=notes,
        skipped=skipped,
    )


def _builder(tfds: Any, name: Any, data_dir: Any, download: bool) -> Any:
    if isinstance(name, tfds.core.DatasetBuilder):
        builder = name
    else:
        try:
            if (Path(name) / "dataset_info.json").is_file():
                builder = tfds.builder_from_directory(str(name))
            else:
                folder = None if data_dir is None else str(data_dir)
                builder = tfds.builder(str(name), data_dir=folder)
        # Beside its own errors it passes on those of the code and files of each dataset.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(
                f"`name` must be a dataset of TFDS. Received: {name!r}. {reason}"
            ) from error
    if Path(builder.data_dir).exists():
        return builder
    if not download:
        raise DataError(
            f"{builder.info.full_name!r} is not prepared in {str(builder.data_dir)!r}. Give the "
            "`data_dir` that holds it, or allow `download`."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{builder.info.full_name!r} cannot be prepared: {reason}") from error
    return builder


def _keeper() -> Callable[[bytes], str]:
    """Return what copies an encoded image to the cache folder and says where it is."""
    folder = kept_images_folder()
    return lambda encoded: keep_image(encoded, folder)


def _read(
    tfds: Any,
    builder: Any,
    inputs: Sequence[str],
    labels: Sequence[str],
    keep: Callable[[bytes], str] | None,
) -> tuple[list[list[str]], dict[str, list[Any]], list[str], list[str]]:
    """Read inputs (texts, or the paths that `keep` gives) and labels, in the stored order."""
    read: list[list[str]] = [[] for _ in inputs]
    values: dict[str, list[Any]] = {key: [] for key in labels}
    ready: list[str] = []
    passed_over = []
    taken = set()
    for stored in builder.info.splits:
        split = split_name(stored)
        if split is None or split in taken:
            passed_over.append(stored)
            continue
        taken.add(split)
        wanted = dict.fromkeys((*inputs, *labels), True)
        examples = builder.as_dataset(
            split=stored,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(
                wanted, decoders=dict.fromkeys(inputs, tfds.decode.SkipDecoding()) if keep else {}
            ),
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        for example in examples.as_numpy_iterator():
            for column, key in zip(read, inputs, strict=True):
                value = example[key]
                column.append(keep(value) if keep else value.decode("utf-8", "replace"))
            ready.append(split)
            for key in labels:
                values[key].append(example[key])
    if not ready:
        raise DataError(
            f"{builder.info.full_name!r} has no train, validation or test examples. "
            f"Its splits: {', '.join(builder.info.splits) or 'none'}."
        )
    return read, values, ready, passed_over


def _empty(builder: Any, columns: Sequence[Sequence[str]]) -> list[str]:
    name = builder.info.full_name
    return [
        "" if any(text.strip() for text in row) else f"Example {index + 1} of {name!r} has no text."
        for index, row in enumerate(zip(*columns, strict=True))
    ]


def _supervised(builder: Any) -> tuple[str, str] | tuple[None, None]:
    keys = builder.info.supervised_keys
    plain = keys and len(keys) == 2 and all(isinstance(key, str) for key in keys)
    return tuple(keys) if plain else (None, None)


def _only(features: Any, kind: type, argument: str) -> str:
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(keys) != 1:
        raise DataError(
            f"`{argument}` must name a feature, since there are {len(keys)} of that kind. "
            f"It has: {', '.join(features)}."
        )
    return keys[0]


def _labels(tfds: Any, builder: Any, first: str) -> list[str]:
    given, label = _supervised(builder)
    if given == first and label is not None:
        return [label]
    return [_only(builder.info.features, tfds.features.ClassLabel, "label")]


def _target(feature: Any, title: str, values: list[Any]) -> tuple[Target, list[str]]:
    # A sequence hands the names of its inner feature on, so it is asked for first.
    inner = getattr(feature, "feature", None)
    if inner is not None and getattr(inner, "names", None) is not None:
        columns = np.zeros((len(values), inner.num_classes), np.float32)
        for row, present in enumerate(values):
            columns[row, np.asarray(present, int)] = 1
        return target_of_array(title, columns, inner.names, "multilabel")
    names = getattr(feature, "names", None)
    if names is not None:
        return target_of_array(title, np.array(values, np.int64), names, "multiclass")
    try:
        return target_of_array(title, np.array(values))
    except ValueError as error:
        reason = f"{error}" if isinstance(error, DataError) else f"its shape varies ({error})"
        raise DataError(f"Feature {title!r} cannot be predicted: {reason}") from error
