"""Commands take a table of images with several label columns."""

import json

import pytest

import tftune


@pytest.fixture(scope="module")
def table(stripes_folder, tmp_path_factory):
    """12 images of stripes, by their kind and by their place in the list."""
    lines = ["file,kind,rank"]
    for place, path in enumerate(sorted(stripes_folder.rglob("*.png"))[::2]):
        lines.append(f"{path},{path.parent.name},{place / 10}")
    file = tmp_path_factory.mktemp("table") / "labels.csv"
    file.write_text("\n".join(lines))
    return file


def test_a_table_with_several_labels_is_trained_evaluated_and_asked(
    tftune_command, table, stripes_folder, tmp_path
):
    run = tmp_path / "run"
    columns = ("--image", "file", "--label", "kind", "--label", "rank")
    short = ("--head-epochs", 1, "--fine-tune-epochs", 0, "--backbone", "mobilenet_v3_small")
    done = tftune_command(
        "train", table, *columns, *short, "--weights", "none", "--output", run, "-q"
    )
    assert done.exit_code == 0, done.output
    assert "kind: The head alone" in done.output and "rank: The head alone" in done.output
    assert [head.task for head in tftune.load(run).heads] == ["multiclass", "regression"]
    assert "rank: The head alone" in (run / "report.html").read_text()
    # The label columns are the model's heads.
    done = tftune_command("evaluate", run, table, "--image", "file", "--split", "all", "--json")
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    assert measured["num_examples"] == 12
    assert [other["head"] for other in measured["others"]] == ["rank"]
    image = stripes_folder / "vertical" / "00.png"
    answer = json.loads(tftune_command("predict", run, image, "--json").stdout)
    assert set(answer[str(image)]) == {"kind", "rank"}


def test_columns_of_a_folder_are_refused(tftune_command, stripes_folder, tmp_path):
    done = tftune_command("train", stripes_folder, "--label", "kind", "--output", tmp_path / "run")
    assert done.exit_code == 2
    assert "`--label` names a column of a table" in done.output
