"""Virtual environments for peers, made once and kept in the user's cache folder."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

FOLDER = Path(platformdirs.user_cache_dir("tftune-benchmarks"), "peers")


class InstallError(RuntimeError):
    """Raised if a peer cannot be installed; its text is what pip said."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """What a peer is installed with.

    Args:
        name: of the folder.
        requirements: as pip takes them.
        alone: requirements that are installed without what they ask for.
        at_start: Python that every process of the environment begins with.
    """

    name: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()
    at_start: str = ""

    def python(self, folder: Path | None = None) -> Path:
        """Return the environment's interpreter, and make the environment if it is not there.

        Args:
            folder: holds the environments; the user's cache by default.

        Raises:
            InstallError: if pip fails, now or in an earlier call: the error is kept, and removing
                the environment's folder tries again.
        """
        here = Path(folder or FOLDER, self.name)
        record = here / "installed.json"
        asked = json.loads(json.dumps(dataclasses.asdict(self)))
        known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        if known.get("asked") != asked:
            known = {"asked": asked, "error": self._install(here)}
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        if known["error"]:
            raise InstallError(known["error"])
        return _interpreter(here)

    def _install(self, here: Path) -> str:
        """Return pip's error, or nothing."""
        print(f"Installing {', '.join(self.requirements)} into {here} (once) ...", flush=True)
        shutil.rmtree(here, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", here], check=True)
        pip = [str(_interpreter(here)), "-m", "pip", "install", "--quiet"]
        commands = [[*pip, *self.requirements]]
        if self.alone:
            commands.append([*pip, "--no-deps", *self.alone])
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, env=clean_environ())
            if done.returncode:
                errors = [x for x in done.stderr.splitlines() if x.upper().startswith("ERROR")]
                return "\n".join(errors) or done.stderr.strip() or f"pip exited {done.returncode}"
        if self.at_start:
            (site,) = [*here.glob("lib/python*/site-packages"), *here.glob("Lib/site-packages")]
            (site / "sitecustomize.py").write_text(self.at_start, encoding="utf-8")
        return ""


def clean_environ() -> dict[str, str]:
    """Return the environment's variables less those that lead Python to this one's packages."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
