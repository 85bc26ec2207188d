"""The store survives kills and company, and stays within its budget."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tftune.cache import budget
from tftune.cache.lease import Lease, remove_if_unused
from tftune.cache.store import ActivationStore
from tftune.errors import CacheError, CacheFullError, ConfigError

# Fills a store with rows that are functions of their names, as a trunk pass would.
FILL = """
import sys, numpy as np
from tftune.cache.store import ActivationStore
from tftune.cache.activations import PassReport
folder, count = sys.argv[1], int(sys.argv[2])
names = [f"{i:032x}" for i in range(count)]
rows = ActivationStore(folder, shard_bytes=4096).open("trunk", "float32")
print("ready", flush=True)
with rows.writer() as writer:
    for position in rows.missing(names):
        writer.add(np.full((1, 64), position, np.float32), [names[position]])
result = rows.activations(names, (64,), PassReport())
assert np.array_equal(result[:, 0], np.arange(count)), "wrong rows"
print("done", flush=True)
"""


def start(folder, count):
    return subprocess.Popen(
        [sys.executable, "-c", FILL, str(folder), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names(count):
    return [f"{i:032x}" for i in range(count)]


def held(folder, count):
    rows = ActivationStore(folder).open("trunk", "float32")
    return count - len(rows.missing(names(count)))


def test_a_killed_writer_leaves_whole_shards_and_the_next_one_continues(tmp_path):
    generator = random.Random(0)
    progress = []
    for _ in range(6):
        process = start(tmp_path, 6000)
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(0.01, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        progress.append(held(tmp_path, 6000))
    # Opening sweeps what the dead left behind, so only whole pairs are there.
    files = list((tmp_path / "activations" / "trunk" / "float32").iterdir())
    assert sorted({path.suffix for path in files}) in ([], [".json", ".npy"])
    assert len({path.stem for path in files}) * 2 == len(files)
    print("PROGRESS", progress)
    assert progress == sorted(progress)
    last = start(tmp_path, 6000)
    output, errors = last.communicate(timeout=60)
    assert output.endswith("done\n"), errors
    assert held(tmp_path, 6000) == 6000


def test_two_writers_at_once_both_end_with_right_rows(tmp_path):
    processes = [start(tmp_path, 1500), start(tmp_path, 1500)]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert output.endswith("done\n"), errors
    assert held(tmp_path, 1500) == 1500


def test_a_folder_in_use_by_another_process_is_not_evicted(tmp_path):
    program = (
        "import sys, pathlib; from tftune.cache.lease import Lease\n"
        "lease = Lease(pathlib.Path(sys.argv[1])); lease.share()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    folder = tmp_path / "trunk"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    assert not remove_if_unused(folder)
    process.kill()
    process.communicate()
    assert remove_if_unused(folder)
    assert not folder.exists()


def filled(store, trunk, used, size=1000):
    rows = store.open(trunk, "float32")
    rows.write(np.zeros((1, size // 4), np.float32), [trunk])
    os.utime(store.trunk_folder(trunk) / "used", (used, used))
    return rows


def test_what_was_used_longest_ago_goes_first(tmp_path):
    store = ActivationStore(tmp_path, budget_bytes=8000)
    for trunk, used in (("older", 2000), ("oldest", 1000), ("newest", 3000)):
        filled(store, trunk, used)
    evicted = store.make_room(6000)
    assert [path.name for path in evicted] == ["oldest", "older"]
    assert [path.name for path in store.root.iterdir()] == ["newest"]


def test_what_this_process_uses_stays_until_it_is_let_go(tmp_path):
    store = ActivationStore(tmp_path, budget_bytes=4000)
    used = filled(store, "used", 1000)
    with pytest.raises(CacheFullError, match="TFTUNE_CACHE_BUDGET"):
        store.make_room(3500)
    assert len(used.missing(["used"])) == 0
    del used
    assert [path.name for path in store.make_room(3500)] == ["used"]


def test_more_than_the_disk_has_free_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "free_bytes", lambda place: 10)
    with pytest.raises(CacheFullError, match="10 B free"):
        ActivationStore(tmp_path, budget_bytes=10**9).make_room(11)


def test_the_budget_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TFTUNE_CACHE_BUDGET", "1.5 GB")
    assert budget.default_budget(tmp_path, 0) == 1_500_000_000
    monkeypatch.setenv("TFTUNE_CACHE_BUDGET", "much")
    with pytest.raises(ConfigError, match="such as '20GB'"):
        budget.default_budget(tmp_path, 0)
    monkeypatch.delenv("TFTUNE_CACHE_BUDGET")
    assert 0 < budget.default_budget(tmp_path, 0) <= 20 * 10**9


def test_a_lease_on_an_evicted_folder_makes_it_anew(tmp_path):
    folder = tmp_path / "trunk"
    Lease(folder).close()
    assert remove_if_unused(folder)
    lease = Lease(folder)
    assert lease.alone and (folder / "used").exists()


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "activations").write_text("a file is in the way")
    with pytest.raises(CacheError, match="TFTUNE_CACHE"):
        ActivationStore(tmp_path).open("trunk", "float32")


def test_about_is_written_for_people(tmp_path):
    store = ActivationStore(tmp_path)
    store.open("trunk", "float32", about={"boundary": "pooled"})
    about = json.loads((store.trunk_folder("trunk") / "about.json").read_text())
    assert about == {"trunk": "trunk", "boundary": "pooled"}


def test_a_disk_that_is_really_full_keeps_whole_shards_only(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        store = ActivationStore(disk, budget_bytes=10**9, shard_bytes=1)
        rows = store.open("trunk", "float32")
        with pytest.raises(CacheFullError, match="disk .* is full"), rows.writer() as writer:
            for name in names(100):
                writer.add(np.ones((1, 25_000), np.float32), [name])
        files = list(rows.folder.iterdir())
        assert {path.suffix for path in files} == {".json", ".npy"}
        assert len({path.stem for path in files}) * 2 == len(files)
        del rows
        rows = store.open("trunk", "float32")
        kept = 100 - len(rows.missing(names(100)))
        assert kept == len(files) // 2 > 0
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
