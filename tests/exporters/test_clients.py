"""The bundle's clients run as they are printed, against a server that answers from the export.

The server here is a stand-in that speaks TF Serving's REST and gRPC protocols; where the real one
is installed the clients run against it too.
"""

import base64
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent import futures
from pathlib import Path

import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed here")


@pytest.fixture(scope="module")
def export(bundled_export):
    return bundled_export


@pytest.fixture(scope="module")
def bundle(export):
    return Path(export.path).parent.with_name("stripes.serving")


@pytest.fixture(scope="module")
def loaded(export):
    return tf.saved_model.load(export.path)


@pytest.fixture(scope="module")
def rest_server(loaded):
    """TF Serving's REST API in its columnar form, for one model."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            if self.path != "/v1/models/stripes:predict":
                self.send_error(404)
                return
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inputs = {
                name: tf.constant([base64.b64decode(value["b64"], validate=True) for value in rows])
                for name, rows in request["inputs"].items()
            }
            answers = loaded.signatures[request.get("signature_name", "serving_default")](**inputs)
            body = json.dumps({"outputs": {k: _plain(v) for k, v in answers.items()}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def grpc_server(loaded):
    """TF Serving's PredictionService, for one model."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 (the protocol's name)
            if request.model_spec.name != "stripes":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
            signature = loaded.signatures[request.model_spec.signature_name]
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            answers = signature(**{name: tf.constant(value) for name, value in inputs.items()})
            response = predict_pb2.PredictResponse()
            for name, value in answers.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(scope="module")
def expected(tiny_model, stripes):
    """What the clients must print: the three most probable classes of each image."""
    lines = []
    for path in stripes.test.examples.paths[:2]:
        answer = tiny_model.predict(path)
        told = ", ".join(f"{name} {value:.3f}" for name, value in list(answer.items())[:3])
        lines.append(f"{path}: {told}")
    return lines


def _plain(tensor):
    values = tensor.numpy()
    if values.dtype == object:
        return [
            [v.decode() for v in row] if hasattr(row, "tolist") else row.decode() for row in values
        ]
    return values.tolist()


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_rest_client_prints_the_models_answers(bundle, rest_server, stripes, expected):
    paths = stripes.test.examples.paths[:2]
    client = [sys.executable, bundle / "client_rest.py", *paths, "--host", rest_server]
    assert _run(client).splitlines() == expected


def test_the_curl_client_prints_the_servers_answer(bundle, rest_server, stripes, tiny_model):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed on this machine")
    path = stripes.test.examples.paths[0]
    answer = json.loads(_run([bundle / "client.sh", path, rest_server]))["outputs"]
    wanted = tiny_model.predict(path)
    received = dict(zip(answer["classes"][0], answer["probabilities"][0], strict=True))
    assert received == pytest.approx(wanted, abs=1e-5)
    assert answer["label"] == [next(iter(wanted))]


@pytest.mark.slow
def test_the_grpc_client_prints_the_models_answers(bundle, grpc_server, stripes, expected):
    paths = stripes.test.examples.paths[:2]
    client = [sys.executable, bundle / "client_grpc.py", *paths, "--host", grpc_server]
    assert _run(client).splitlines() == expected


@pytest.mark.slow
def test_the_clients_run_against_the_real_server(export, bundle, stripes, expected):
    program = shutil.which("tensorflow_model_server")
    if program is None:
        pytest.skip("tensorflow_model_server is not on the PATH of this machine")
    grpc_port, rest_port = _free_port(), _free_port()
    settings = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=stripes"]
    settings.append(f"--model_base_path={Path(export.path).parent}")
    server = subprocess.Popen([program, *settings])
    try:
        _wait_for(f"http://127.0.0.1:{rest_port}/v1/models/stripes")
        paths = stripes.test.examples.paths[:2]
        for client, port in (("client_rest.py", rest_port), ("client_grpc.py", grpc_port)):
            command = [sys.executable, bundle / client, *paths, "--host", f"127.0.0.1:{port}"]
            assert _run(command).splitlines() == expected
    finally:
        server.terminate()
        server.wait(30)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address):
    for _ in range(120):
        try:
            with urllib.request.urlopen(address) as response:
                if "AVAILABLE" in response.read().decode():
                    return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"nothing answers at {address}")
