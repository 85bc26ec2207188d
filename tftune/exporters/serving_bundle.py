"""What stands beside a served model: the server's settings and clients that work as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tftune.atomic import replaced_folder
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec
from tftune.config.text_input import TextInput
from tftune.exporters.head_answers import answer_keys

BATCH_SIZE = 32
_REST_PORT = 8501
_GRPC_PORT = 8500

# Answers come as {"classes": [names for each image], "probabilities": [numbers for each image]}.
_PRINTING = """for index, THING in enumerate(arguments.THINGs):
    for names, values, shown in ANSWERS:
        pairs = zip(outputs[names][index], outputs[values][index])
        if shown:
            pairs = sorted(pairs, key=lambda pair: -pair[1])[:shown]
        told = (f"{n.decode() if isinstance(n, bytes) else n} {v:.3f}" for n, v in pairs)
        print(f"{THING}: {', '.join(told)}")
"""
_SHOWN = 3


@dataclass(frozen=True)
class _Asked:
    """What clients ask about.

    Attributes:
        thing: "image" or "text"; on the command line a file's path, or the text itself.
        key: the signature's input.
        content: a Python expression for the bytes of a `thing`.
        piped: a shell command that writes them.
    """

    thing: str
    key: str
    content: str
    piped: str


_IMAGES = _Asked("image", "image_bytes", 'open(image, "rb").read()', 'cat "$image"')
_TEXTS = _Asked("text", "text", "text.encode()", 'printf %s "$text"')


def write_bundle(
    base: Path, model_name: str, heads: Sequence[HeadSpec], contract: ImageInput | TextInput
) -> Path:
    """Write `<base>.serving/`: settings and clients for TF Serving.

    Args:
        base: the model's folder, with its versions inside.
        model_name: the name the server will know the model by.
        heads: what the model answers, which the clients print.
        contract: what it reads: images, or one text an example.

    Returns:
        The folder: `models.config`, `batching.config`, `compose.yaml`, `README.md` and clients
        over REST with curl, over REST with Python and over gRPC. It replaces an earlier one.
    """
    folder = base.with_name(base.name + ".serving")
    asked = _TEXTS if isinstance(contract, TextInput) else _IMAGES
    with replaced_folder(folder, overwrite=True) as temporary:
        for name, text in _files(base, model_name, heads, asked).items():
            file = temporary / name
            file.write_text(text, encoding="utf-8")
            if file.suffix == ".sh":
                os.chmod(file, 0o755)
    return folder


def _answers(heads: Sequence[HeadSpec]) -> list[tuple[str, str, int]]:
    """Return for each head the outputs that hold names and numbers, and how many to show."""
    answers = []
    for head in heads:
        key = answer_keys(heads)[head.name]
        if head.task == "regression":
            answers.append((key.removesuffix("values") + "names", key, 0))
        else:
            names = key.removesuffix("probabilities") + "classes"
            answers.append((names, key, min(_SHOWN, len(head.class_names))))
    return answers


def _files(base: Path, name: str, heads: Sequence[HeadSpec], asked: _Asked) -> dict[str, str]:
    thing, argument = asked.thing, asked.thing.upper()
    printing = _PRINTING.replace("ANSWERS", repr(_answers(heads))).replace("THING", thing)
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
# Asks about one {thing} over REST: ./client.sh {argument} [HOST]
set -eu
{thing}=$1
host=${{2:-localhost:{_REST_PORT}}}
# The server decodes {{"b64": ...}}; the model gets the very bytes.
content=$({asked.piped} | base64 | tr -d '\\n')
printf '{{"inputs": {{"{asked.key}": [{{"b64": "%s"}}]}}}}' "$content" |
    curl --silent --show-error --fail --data @- "http://$host/v1/models/{name}:predict"
""",
        "client_rest.py": f'''"""Asks the server about {thing}s over REST.

    python client_rest.py {argument}... [--host HOST:PORT]
"""

import argparse
import base64
import json
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("{thing}s", nargs="+")
parser.add_argument("--host", default="localhost:{_REST_PORT}")
arguments = parser.parse_args()
contents = [{asked.content} for {thing} in arguments.{thing}s]
encoded = [{{"b64": base64.b64encode(content).decode()}} for content in contents]
request = urllib.request.Request(
    f"http://{{arguments.host}}/v1/models/{name}:predict",
    data=json.dumps({{"inputs": {{"{asked.key}": encoded}}}}).encode(),
    headers={{"Content-Type": "application/json"}},
)
with urllib.request.urlopen(request) as response:
    outputs = json.load(response)["outputs"]
{printing}''',
        "client_grpc.py": f'''"""Asks the server about {thing}s over gRPC.

    python client_grpc.py {argument}... [--host HOST:PORT]

Needs `pip install tensorflow-serving-api`.
"""

import argparse

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

parser = argparse.ArgumentParser()
parser.add_argument("{thing}s", nargs="+")
parser.add_argument("--host", default="localhost:{_GRPC_PORT}")
arguments = parser.parse_args()
contents = [{asked.content} for {thing} in arguments.{thing}s]
request = predict_pb2.PredictRequest()
request.model_spec.name = "{name}"
request.model_spec.signature_name = "serving_default"
request.inputs["{asked.key}"].CopyFrom(tf.make_tensor_proto(contents, shape=[len(contents)]))
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(arguments.host))
found = stub.Predict(request, timeout=30).outputs
outputs = {{key: tf.make_ndarray(value).tolist() for key, value in found.items()}}
{printing}''',
        "README.md": f"""# Serving {name}

Start the server in this folder:

    docker compose up

Ask it:

    ./client.sh {argument}
    python client_rest.py {argument}...
    python client_grpc.py {argument}...

`models.config` names the model, `batching.config` says how requests are grouped. The server takes
the highest version of `../{base.name}` into service and replays its warm-up requests first.

tftune's own tests load the model with TensorFlow Serving's loader, replay the warm-up requests and
run the clients against a small stand-in for the server. What needs the server itself is not proven
there: how it groups requests into batches, and how it changes from one version to the next.
""",
    }
