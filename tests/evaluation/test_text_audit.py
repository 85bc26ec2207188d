"""The audit of texts finds planted faults, and `drop` takes them out."""

import tftune
from tftune.data.dataset import Dataset, Split
from tftune.data.text_examples import Texts


def split(name, texts, labels):
    return Split.of_classes(
        name, Texts.of(texts, [f"{name} {i}" for i in range(len(texts))]), labels, ["x", "y"]
    )


def planted():
    train = [f"ordinary text about matter {i}" for i in range(12)]
    train += ["said twice", "said twice", "Shouted   TEXT!", "shouted text", "both", "both"]
    train += ["привет мир", "long " * 1000, "seen before"]
    labels = [i % 2 for i in range(12)] + [0, 0, 1, 1, 0, 1, 0, 0, 0]
    return Dataset(
        split("train", train, labels),
        split("validation", ["another one", "something else"], [0, 1]),
        split("test", ["seen before", "not yet seen"], [0, 1]),
    )


def test_planted_faults_are_found_and_dropped():
    data = planted()
    report = tftune.audit(data, verbose=False)
    found = {issue.kind: issue for issue in report.issues}
    assert [e.index for e in found["exact_duplicate"].examples] in ([12, 13], [16, 17])
    assert [e.index for e in found["near_duplicate"].examples] == [14, 15]
    assert [e.index for e in found["label_conflict"].examples] == [16, 17]
    assert [e.path for e in found["leakage"].drop] == ["train 20"]
    assert "Cyrillic" in found["mixed_scripts"].message
    assert "5,000 characters" in found["odd_size"].message
    assert report.spoils_training and "25 texts audited" in str(report)
    cleaned = data.drop(report.of_kind("leakage", "label_conflict", "exact_duplicate"))
    again = tftune.audit(cleaned, verbose=False)
    assert not again.spoils_training
    assert not again.of_kind("exact_duplicate")


def test_clean_texts_have_no_finding():
    texts = [f"this is text number {i}" for i in range(60)]
    data = tftune.load_texts(texts, ["x", "y"] * 30)
    assert tftune.audit(data, verbose=False).issues == ()
