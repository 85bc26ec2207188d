"""The notebooks in `examples/` are whole, name only what there is, and run from top to bottom."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

import tftune

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What the cell tagged "parameters" is given so that a notebook takes a minute or two.
SHORT = {
    "IMAGES_A_CLASS": "14",
    "TEXTS_A_CLASS": "60",
    "TRIALS": "3",
    "FEW": "4",
    "QUANTIZE": '"float16"',
}
# Of fewer digits a rare one would not be in every split.
SHORT_OF = {"02_medical_images": {**SHORT, "IMAGES_A_CLASS": "36"}}


def name_of(file):
    return file.stem


def code_of(notebook):
    """Return the cells' code without the lines that only IPython understands."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(re.sub(r"^(\s*)%.*$", r"\1pass", cell, flags=re.M) for cell in cells)


@pytest.fixture(params=NOTEBOOKS, ids=name_of)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_is_a_notebook_for_each_journey():
    assert [file.stem[:2] for file in NOTEBOOKS] == [f"0{number}" for number in range(1, 9)]


def test_a_notebook_names_only_what_there_is(notebook):
    nbformat.validate(notebook)
    for node in ast.walk(ast.parse(code_of(notebook))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "tftune":
            assert node.attr in tftune.__all__ or node.attr == "data", f"tftune.{node.attr}"


def test_a_notebook_is_kept_without_outputs_and_has_its_parameters_in_one_cell(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    for cell in notebook.cells:
        assert not cell.get("outputs")


def test_colab_offers_to_download_every_file_for_phones(notebook):
    code = code_of(notebook)
    for name in set(re.findall(r'"(\w+\.tflite)"', code)):
        assert f'files.download("{name}")' in code


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=name_of)
def test_a_notebook_runs_from_top_to_bottom(file, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            for name, value in SHORT_OF.get(file.stem, SHORT).items():
                cell.source = re.sub(
                    rf"^{name} = [^#\n]*", f"{name} = {value}  ", cell.source, flags=re.M
                )
    # An error in a cell is raised here with the cell and its traceback.
    NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
