"""What stands beside a served model: the server's settings and clients that work as they are."""

from __future__ import annotations

import os
from pathlib import Path

from tftune.atomic import replaced_folder

BATCH_SIZE = 32
_REST_PORT = 8501
_GRPC_PORT = 8500


def write_bundle(base: Path, model_name: str) -> Path:
    """Write `<base>.serving/`: settings and clients for TF Serving.

    Args:
        base: the model's folder, with its versions inside.
        model_name: the name the server will know the model by.

    Returns:
        The folder: `models.config`, `batching.config`, `compose.yaml`, `README.md` and clients
        over REST with curl, over REST with Python and over gRPC. It replaces an earlier one.
    """
    folder = base.with_name(base.name + ".serving")
    with replaced_folder(folder, overwrite=True) as temporary:
        for name, text in _files(base, model_name).items():
            file = temporary / name
            file.write_text(text, encoding="utf-8")
            if file.suffix == ".sh":
                os.chmod(file, 0o755)
    return folder


def _files(base: Path, name: str) -> dict[str, str]:
    return {
        "models.config": f"""model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
""",
        "batching.config": f"""max_batch_size {{ value: {BATCH_SIZE} }}
batch_timeout_micros {{ value: 2000 }}
num_batch_threads {{ value: {os.cpu_count() or 1} }}
max_enqueued_batches {{ value: 100 }}
""",
        "compose.yaml": f"""services:
  tensorflow-serving:
    image: tensorflow/serving
    ports:
      - "{_GRPC_PORT}:{_GRPC_PORT}"
      - "{_REST_PORT}:{_REST_PORT}"
    volumes:
      - ../{base.name}:/models/{name}:ro
      - .:/config:ro
    command:
      - --model_config_file=/config/models.config
      - --enable_batching=true
      - --batching_parameters_file=/config/batching.config
      - --rest_api_port={_REST_PORT}
""",
        "client.sh": f"""#!/bin/sh
# Classifies one image over REST: ./client.sh IMAGE [HOST]
set -eu
image=$1
host=${{2:-localhost:{_REST_PORT}}}
# The server decodes {{"b64": ...}}; the model gets the file's own bytes.
printf '{{"inputs": {{"image_bytes": [{{"b64": "%s"}}]}}}}' "$(base64 "$image" | tr -d '\\n')" |
    curl --silent --show-error --fail --data @- "http://$host/v1/models/{name}:predict"
""",
        "client_rest.py": f'''"""Classifies images over REST.

    python client_rest.py IMAGE... [--host HOST:PORT]
"""

import argparse
import base64
import json
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("images", nargs="+")
parser.add_argument("--host", default="localhost:{_REST_PORT}")
arguments = parser.parse_args()
encoded = []
for name in arguments.images:
    with open(name, "rb") as stream:
        encoded.append({{"b64": base64.b64encode(stream.read()).decode()}})
request = urllib.request.Request(
    f"http://{{arguments.host}}/v1/models/{name}:predict",
    data=json.dumps({{"inputs": {{"image_bytes": encoded}}}}).encode(),
    headers={{"Content-Type": "application/json"}},
)
with urllib.request.urlopen(request) as response:
    outputs = json.load(response)["outputs"]
for name, label, scores in zip(arguments.images, outputs["label"], outputs["scores"]):
    print(f"{{name}}: {{label}} {{max(scores):.3f}}")
''',
        "client_grpc.py": f'''"""Classifies images over gRPC.

    python client_grpc.py IMAGE... [--host HOST:PORT]

Needs `pip install tensorflow-serving-api`.
"""

import argparse

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

parser = argparse.ArgumentParser()
parser.add_argument("images", nargs="+")
parser.add_argument("--host", default="localhost:{_GRPC_PORT}")
arguments = parser.parse_args()
encoded = []
for name in arguments.images:
    with open(name, "rb") as stream:
        encoded.append(stream.read())
request = predict_pb2.PredictRequest()
request.model_spec.name = "{name}"
request.model_spec.signature_name = "serving_default"
request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(encoded, shape=[len(encoded)]))
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(arguments.host))
outputs = stub.Predict(request, timeout=30).outputs
labels = tf.make_ndarray(outputs["label"])
scores = tf.make_ndarray(outputs["scores"])
for name, label, row in zip(arguments.images, labels, scores):
    print(f"{{name}}: {{label.decode()}} {{row.max():.3f}}")
''',
        "README.md": f"""# Serving {name}

Start the server in this folder:

    docker compose up

Ask it:

    ./client.sh IMAGE
    python client_rest.py IMAGE...
    python client_grpc.py IMAGE...

`models.config` names the model, `batching.config` says how requests are grouped. The server takes
the highest version of `../{base.name}` into service and replays its warm-up requests first.
""",
    }
