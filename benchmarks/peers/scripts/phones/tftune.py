"""tftune's 8-bit export, with ranges from the training images."""

import tftune


def export(model, folder, path):
    data = tftune.load_image_folder(folder, test_share=0)
    tftune.export_tflite(model, path, quantize="int8", calibration=data.train)
    return model.class_names
