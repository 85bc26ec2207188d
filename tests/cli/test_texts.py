"""Commands take a table of texts, from training to a SavedModel."""

import json

import pytest

import tftune

WORDS = {"good": "good great fine loved".split(), "bad": "bad awful poor hated".split()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "tickets.csv"
    lines = ["body,queue"]
    for name, words in WORDS.items():
        for word in words:
            lines += [f"the film {i} was {word},{name}" for i in "abcdefg"]
    file.write_text("\n".join(lines))
    return file


def test_a_table_of_texts_is_audited_trained_evaluated_asked_and_exported(
    tftune_command, table, tmp_path
):
    columns = ("--text", "body", "--label", "queue")
    done = tftune_command("audit", table, *columns, "-q")
    assert done.exit_code == 0 and "56 texts audited" in done.output, done.output
    run = tmp_path / "run"
    short = ("--head-epochs", 2, "--fine-tune-epochs", 4)
    done = tftune_command("train", table, *columns, *short, "--output", run, "-q")
    assert done.exit_code == 0, done.output
    assert "TF-IDF" in done.output and "TEXT" in done.output
    done = tftune_command("evaluate", run, table, *columns, "--json", "-q")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num_examples"] > 0
    # The run knows where its data is and how it was read.
    again = tftune_command("evaluate", run, "--json", "-q")
    assert json.loads(again.stdout) == json.loads(done.stdout), again.output
    done = tftune_command("train", "--config", run / "run.json", "--dry-run", "--json")
    assert (
        json.loads(done.stdout)["phases"] == json.loads((run / "plan.json").read_text())["phases"]
    )
    done = tftune_command("predict", run, "the film was good", "--json")
    assert set(json.loads(done.stdout)["the film was good"]) == {"good", "bad"}
    done = tftune_command("export", run, tmp_path / "served", "--verify", table, *columns)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()
    phone = tmp_path / "m.tflite"
    loose = ("--max-drop", 1)  # seven texts to compare on, and a phone that knows whole words only
    done = tftune_command("export", run, phone, "--verify", table, *columns, *loose, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["certificate"]["num_examples"] > 0
    done = tftune_command("verify", phone, "--data", table, *columns, "--json")
    assert json.loads(done.stdout)["intact"] is True, done.output


def test_a_table_of_texts_is_searched(tftune_command, table, tmp_path):
    space = tmp_path / "space.json"
    limits = tftune.SearchSpace(
        dropout=0.2, optimizer="adamw", batch_size=8, head_epochs=1, fine_tune_epochs=1, unfreeze=1
    )
    space.write_text(json.dumps(limits.to_json()))
    words = ("search", table, "--text", "body", "--label", "queue", "--output", tmp_path / "found")
    few = ("--trials", 1, "--fine-tune-trials", 0, "--oracle", "random", "--space", space)
    done = tftune_command(*words, *few, "--json")
    assert done.exit_code == 0, done.output
    assert [trial["trial"] for trial in json.loads(done.stdout)["trials"]] == ["default", "1"]


def test_a_bert_checkpoint_is_converted(tftune_command, tiny_bert, tmp_path):
    done = tftune_command("convert-bert", tiny_bert, tmp_path / "pair")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "pair" / "encoder" / "saved_model.pb").is_file()
    again = tftune_command("convert-bert", tiny_bert, tmp_path / "pair")
    assert again.exit_code == 2
