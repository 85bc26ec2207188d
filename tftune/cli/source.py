"""Where a command's labelled examples come from, and how they are read."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tftune
from tftune.atomic import write_json
from tftune.errors import ConfigError, check_choice

if TYPE_CHECKING:
    from tftune.data.dataset import Dataset, Split

SPLITS = ("train", "validation", "test", "all")
RUN_FILE = "run.json"

_PANEL = "Reading the data"
_HELP = (
    "A folder with one folder of images (or .txt files) a class, or a table (CSV, TSV, JSONL, "
    "Parquet)."
)

Source = Annotated[Path, typer.Argument(help=_HELP)]
KnownSource = Annotated[
    Path | None,
    typer.Argument(help=f"{_HELP} By default the one that `tftune train` read for this run."),
]


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=_PANEL)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a command reads its data. What is None was not said.

    Each field is an option of the commands that `reads_data` marks.
    """

    label: Annotated[
        list[str] | None,
        _option("--label", text="Of a table: its column of labels; again for several heads."),
    ] = None
    image: Annotated[
        str | None,
        _option("--image", text="Of a table: its column of image paths; 'path' if absent."),
    ] = None
    text: Annotated[
        list[str] | None,
        _option(
            "--text", text="Of a table of texts: its column of texts; twice for pairs of texts."
        ),
    ] = None
    split_column: Annotated[
        str | None,
        _option("--split-column", text="Of a table: the column that says train, validation, test."),
    ] = None
    group: Annotated[
        str | None,
        _option("--group", text="Of a table: a column whose groups stay in one split."),
    ] = None
    on_bad: Annotated[
        str | None,
        _option(
            "--on-bad",
            text="'raise' (the default) names what cannot be used; 'skip' leaves it out and "
            "says so.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        _option("--seed", text="Seeds the splits, the order of examples and dropout; 0 if absent."),
    ] = None

    @property
    def chosen_seed(self) -> int:
        """The seed that was given, or 0."""
        return self.seed or 0

    def load(self, source: Path, *, undivided: bool = False) -> Dataset:
        """Load what a command was given.

        Args:
            source: a folder or a table.
            undivided: put all examples into `train`.

        Raises:
            ConfigError: if a column is named for a folder.
            DataError: if the examples cannot be used.
        """
        from tftune.data.tables import TABLE_SUFFIXES

        given: dict[str, Any] = {"seed": self.chosen_seed, "on_bad": self.on_bad or "raise"}
        if undivided:
            given |= {"validation_share": 0.0, "test_share": 0.0}
        if source.suffix.lower() in TABLE_SUFFIXES and not source.is_dir():
            given |= {"split": None if undivided else self.split_column, "group": self.group}
            labels = list(self.label or ["label"])
            if self.text:
                return tftune.load_text_table(source, list(self.text), labels, **given)
            return tftune.load_image_table(source, self.image or "path", labels, **given)
        for field in ("label", "text", "split_column", "group"):
            if getattr(self, field):
                raise ConfigError(
                    f"`--{field.replace('_', '-')}` names a column of a table. Received it for "
                    f"the folder {str(source)!r}, whose folders are the classes. Leave it out."
                )
        if holds_texts(source):
            return tftune.load_text_folder(source, **given)
        return tftune.load_image_folder(source, **given)

    def load_split(self, source: Path, split: str) -> Split:
        """Load one split of what a command was given, or all of its examples as one.

        Args:
            source: a folder or a table.
            split: "train", "validation" or "test" as `tftune train` divides it, or "all".
        """
        check_split(split)
        if split == "all":
            return dataclasses.replace(self.load(source, undivided=True).train, name="all")
        return self.load(source).splits[split]

    def or_as_in(self, model: Path) -> Reading:
        """Read as the run that trained a model did, where nothing else was said.

        So the images that the run kept for testing are those that are tested.

        Args:
            model: a run directory; a .keras file does not say how its data was read.
        """
        known = read_arguments(model)
        said = {
            field.name: getattr(self, field.name)
            if getattr(self, field.name) is not None
            else known.get(field.name)
            for field in dataclasses.fields(self)
        }
        return Reading(**said)


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Reading`, handed to its parameter `reading` as one value."""
    hints = typing.get_type_hints(command, include_extras=True)
    options = typing.get_type_hints(Reading, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "reading"
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        reading = Reading(**{name: given.pop(name) for name in options})
        command(**given, reading=reading)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def read_arguments(run: Path) -> dict[str, Any]:
    """Return the arguments of the command that made a run directory; none if it does not say."""
    file = run / RUN_FILE
    if not file.is_file():
        return {}
    return dict(json.loads(file.read_text(encoding="utf-8"))["arguments"])


def known_source(data: Path | None, model: Path) -> Path:
    """Return where a command's data is: as given, or where the model's run read it.

    Raises:
        ConfigError: if neither says.
    """
    if data is not None:
        return data
    known = read_arguments(model).get("data")
    if known is None:
        raise ConfigError(
            f"DATA must be given, since {str(model)!r} does not say what it was trained on."
        )
    return Path(known)


def write_arguments(context: typer.Context, output: Path) -> None:
    """Note in a run directory the command that made it, so that `--config` can repeat it.

    Args:
        context: of the command.
        output: the run directory; where it is written is left out, as is what is only shown.
    """
    unsaid = ("output", "overwrite", "dry_run", "config", "as_json", "quiet")
    note_command(
        output,
        context.command.name or "",
        {
            name: value
            for name, value in context.params.items()
            if name not in unsaid and value is not None
        },
    )


def note_command(output: Path, command: str, arguments: Mapping[str, Any]) -> None:
    """Write the `run.json` of a run directory.

    Args:
        output: the run directory.
        command: the command that makes such a run.
        arguments: its options by parameter name; paths are noted from the root on.
    """
    said = dict(arguments)
    for name in ("data", "plan", "space"):
        if name in said:
            said[name] = str(Path(said[name]).resolve())
    write_json(
        output / RUN_FILE,
        {"command": command, "tftune": tftune.__version__, "arguments": said},
    )


def read_config(context: typer.Context, file: Path | None) -> None:
    """Take what a `run.json` says for what is not said on the command line.

    Raises:
        ConfigError: if the file is none, or that of another command.
    """
    if file is None:
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        command, arguments = found["command"], dict(found["arguments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"`--config` must be the {RUN_FILE} of a run directory. Received: {str(file)!r} "
            f"({type(error).__name__}: {error})."
        ) from error
    if command != context.command.name:
        raise ConfigError(
            f"{str(file)!r} is of `tftune {command}`. Received it for "
            f"`tftune {context.command.name}`."
        )
    context.default_map = arguments


Config = Annotated[
    Path | None,
    typer.Option(
        help=f"The {RUN_FILE} of an earlier run: its options, where no others are given.",
        callback=read_config,
        is_eager=True,
    ),
]


def holds_texts(folder: Path) -> bool:
    """Tell whether a folder of class folders holds .txt files and no images."""
    images = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    suffixes = {file.suffix.lower() for file in folder.glob("*/**/*")}
    return ".txt" in suffixes and not suffixes & images


def check_split(split: str) -> None:
    """Raise ConfigError if a split is none that `load_split` knows; quick, before TensorFlow."""
    check_choice("split", split, SPLITS)
