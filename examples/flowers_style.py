"""From a folder of images to a served model and a phone model.

    python examples/flowers_style.py FOLDER

FOLDER holds one folder of images a class. Without an argument, scikit-learn's digits are written to
a temporary folder and used.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import tftune


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        if len(sys.argv) > 1:
            folder, output = Path(sys.argv[1]), Path()
        else:
            from tftune.data.samples import write_digits

            folder, output = Path(work) / "digits", Path(work)
            write_digits(folder)
        data = tftune.load_image_folder(folder)
        print(data)
        model = tftune.build_image_classifier("efficientnet_lite0", data)
        plan = tftune.plan(model, data)
        print(plan)
        run = tftune.fine_tune(model, data, plan, output=output / "runs" / folder.name)
        print(run.verdict)
        print(tftune.evaluate(model, data.test))
        served = output / "saved_models" / folder.name
        print(tftune.export_saved_model(model, served, verify=data.validation))
        phone = output / "saved_models" / f"{folder.name}.tflite"
        print(tftune.export_tflite(model, phone, verify=data.validation))


if __name__ == "__main__":
    main()
