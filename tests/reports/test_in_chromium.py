"""The report works in a real browser: it sorts, filters, and fits a phone, in light and dark."""

import json
import re
import shutil
import subprocess

import pytest

from tftune.reports.run_report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium, as Debian's package chromium installs it"
    ),
]

# Run in the page once it is loaded; what it finds is read from the document's title.
_PROBE = """
<script>
const result = {};
const cells = (table, column) =>
  [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
const table = [...document.querySelectorAll("table.sortable")].find(
  (one) => one.tHead.rows[0].cells[0].textContent === "metric");
const head = table.tHead.rows[0].cells[1];
head.click();
result.rising = cells(table, 1);
head.click();
result.falling = cells(table, 1);
result.sort = head.getAttribute("aria-sort");
const shown = () => [...document.querySelectorAll(".gallery figure")].filter(
  (one) => one.offsetParent !== null);
result.all = shown().length;
const button = document.querySelector('button[data-cell="1-0"]');
button.click();
result.filtered = shown().map((one) => one.dataset.cell);
result.told = document.getElementById("filtered").textContent;
button.click();
result.again = shown().length;
result.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
result.width = document.documentElement.clientWidth;
result.background = getComputedStyle(document.body).backgroundColor;
result.broken = [...document.images].filter(
  (one) => one.loading !== "lazy" && one.complete && !one.naturalWidth).length;
result.errors = window.failures;
document.title = "RESULT" + JSON.stringify(result) + "END";
</script>
"""
_LISTEN = "<script>window.failures = []; onerror = (e) => failures.push(String(e));</script>"


def chromium(profile, *arguments):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    done = subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={profile}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def page(run_folder, tmp_path_factory):
    return write_report(run_folder, tmp_path_factory.mktemp("pages") / "report.html")


def _probe(page, tmp_path, *arguments):
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{_LISTEN}", 1)
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
    document = chromium(tmp_path / "profile", *arguments, "--dump-dom", probed.as_uri())
    found = re.search(r"RESULT(.*?)END</title>", document, re.DOTALL)
    assert found, "the page's script did not run to its end"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_tables_sort_by_value_and_the_matrix_filters_its_images(page, tmp_path):
    result = _probe(page, tmp_path, "--window-size=1200,900")
    values = [float(text) for text in result["rising"] if text]
    assert values == sorted(values)
    assert [float(text) for text in result["falling"] if text] == sorted(values, reverse=True)
    assert result["sort"] == "descending"
    assert set(result["filtered"]) == {"1-0"}
    assert 0 < len(result["filtered"]) < result["all"] == result["again"]
    assert "rose taken for daisy" in result["told"]
    assert result["errors"] == []
    assert result["broken"] == 0


def test_a_phone_needs_no_sideways_scrolling(page, tmp_path):
    # Headless Chromium has no window narrower than 500 pixels, so the page is put in a frame.
    framed = tmp_path / "framed.html"
    framed.write_text(
        f'<iframe id=f width=360 height=640 src="{page.as_uri()}"></iframe><script>'
        "onload = () => { const d = f.contentDocument.documentElement; document.title ="
        ' "RESULT" + JSON.stringify([d.scrollWidth, d.clientWidth]) + "END"; };</script>'
    )
    document = chromium(
        tmp_path / "p", "--allow-file-access-from-files", "--dump-dom", framed.as_uri()
    )
    wide, window = json.loads(re.search(r"RESULT(.*?)END", document)[1])
    assert window <= 360
    assert wide <= window


def test_dark_screens_get_a_dark_page(page, tmp_path):
    light = _probe(page, tmp_path)
    dark = _probe(page, tmp_path, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    assert light["background"] == "rgb(255, 255, 255)"
    assert dark["background"] == "rgb(13, 17, 23)"


def test_it_prints(page, tmp_path):
    chromium(tmp_path / "p", f"--print-to-pdf={tmp_path / 'r.pdf'}", page.as_uri())
    content = (tmp_path / "r.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(content) > 20_000
