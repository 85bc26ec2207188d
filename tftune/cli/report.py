"""`tftune report`: a run as a page to show around, and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tftune.cli import console
from tftune.cli.arguments import Quiet
from tftune.cli.source import Reading

if TYPE_CHECKING:
    from tftune.builders.transfer_model import TransferModel
    from tftune.data.dataset import Dataset
    from tftune.progress import Progress
    from tftune.results.evaluation import Evaluation

_EXPLAINED = 4


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    output: Annotated[
        Path | None, typer.Option(help="The page to write; report.html in RUN by default.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="What RUN was trained on: adds test figures and an audit."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="With --data: add pictures of mistakes, Grad-CAM.")
    ] = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="With --data: add figures on spoiled images.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Add latency, throughput and size of model and exports.")
    ] = False,
    export: Annotated[
        list[Path] | None, typer.Option(help="An export with its certificate; may be repeated.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write RUN's report, one HTML page that needs no network, and its model card."""
    from tftune.reports.model_card import write_model_card
    from tftune.reports.run_files import read_run
    from tftune.reports.run_report import write_report

    found = read_run(run)  # an incomplete run is refused before anything is computed
    given: dict[str, Any] = {"exports": list(export or ())}
    test: Evaluation | None = None
    if data is not None or cost:
        console.import_tensorflow_quietly()
        import tftune
        from tftune.progress import Progress

        model = tftune.load(run)
        more: dict[str, Any] = {}
        with Progress(not quiet) as progress:
            if data is not None:
                dataset = Reading(seed=found.plan.seed).or_as_in(run).load(data)
                test = tftune.evaluate(
                    model, dataset.test, on_progress=progress.step("evaluate on test")
                )
                given |= _about_test(model, dataset, test, explain, progress)
                if robustness:
                    more["Robustness"] = tftune.measure_robustness(
                        model, dataset.test, on_progress=progress.step("spoiled images")
                    )
            if cost:
                more["Cost"] = tftune.measure_cost(model, exports=list(export or ()))
        given["more"] = more
    page = write_report(run, output, test=test, **given)
    card = write_model_card(run, page.with_name("model_card.md"), test=test)
    print(f"Wrote {page} and {card}")


def _about_test(
    model: TransferModel,
    data: Dataset,
    test: Evaluation,
    explain: bool,
    progress: Progress,
) -> dict[str, Any]:
    import tftune
    from tftune.evaluation.record import thumbnails

    given: dict[str, Any] = {"audit": tftune.audit(data, verbose=False)}
    if test.task != "multiclass" or test.predictions is None:
        return given
    given["thumbnails"] = thumbnails(data.test, test.predictions)
    if explain:
        from tftune.evaluation.mistakes import find_mistakes

        step = progress.step("explain")
        figures = {
            "The most confident mistakes": tftune.plot_mistakes(test, data.test),
            "The most confused pairs": tftune.plot_confused_pairs(test, data.test),
            "Mistakes and the training images most like them": tftune.plot_neighbours(
                model, data, test, data.test
            ),
        }
        for mistake in find_mistakes(test, _EXPLAINED):
            pixels = data.test.examples.pixels(mistake.index)
            heatmap = tftune.grad_cam(model, pixels, mistake.predicted)
            title = f"Grad-CAM: what speaks for {mistake.predicted} in an image of {mistake.true}"
            figures[f"{title} ({mistake.name.rsplit('/', 1)[-1]})"] = heatmap.plot()
        step(1, 1)
        given["explanations"] = figures
    return given
