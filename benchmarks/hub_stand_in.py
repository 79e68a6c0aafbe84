"""A local server that answers for the Hub: configurations and safetensors headers of a few models, no weights.

Started by benchmarks/peers.py; prints its address and serves until its standard input closes. The headers list the
arrays of moesize's own inventory, in as many files as the models' repositories have; a tool that reads headers gets
what it would get from the Hub, without the network's time.
"""

import hashlib
import json
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple

from moesize.data import data_dir, read_yaml
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec, Tensor
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.names import resolve_quant
from moesize.quant.scheme import Array, arrays_of, module_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
#: Stand-in repositories: catalogue name, quantisation, weight files of the real repository.
REPOSITORIES: dict[str, tuple[str, dict[str, Any] | None, int]] = {
    "stand-in/Mixtral-8x7B-v0.1": ("mixtral-8x7b", None, 19),
    "stand-in/Mixtral-8x7B-v0.1-AWQ": ("mixtral-8x7b", {**AWQ, "modules_to_not_convert": ["gate"]}, 3),
    "stand-in/Llama-3.1-8B": ("llama-3.1-8b", None, 4),
    "stand-in/Qwen3-30B-A3B": ("qwen3-30b-a3b", None, 16),
    "stand-in/DeepSeek-V3": ("deepseek-v3", None, 163),
}
_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "int32": "I32", "float8_e4m3fn": "F8_E4M3"}


class File(NamedTuple):
    """The first bytes of a file, and the size it says it has."""

    head: bytes
    size: int

    @property
    def tag(self) -> str:
        """What caches tell files apart by."""
        return hashlib.sha256(self.head).hexdigest()


def repository(model: str, quantised: dict[str, Any] | None, shards: int) -> dict[str, File]:
    """The files of a repository: configuration, index, weight files of which only the headers exist."""
    config = dict(read_yaml(data_dir("model_specs") / f"{model}.yaml")["config"])
    if quantised:
        config["quantization_config"] = quantised
    spec = load_model(model)
    arrays = dict(_arrays(spec, "awq-4bit" if quantised else None))
    names = list(arrays)
    step = -(-len(names) // shards)
    files, weight_map = {"config.json": _text(config)}, {}
    for n in range(shards):
        own = names[n * step : (n + 1) * step]
        name = f"model-{n + 1:05}-of-{shards:05}.safetensors"
        files[name] = _weights({array: arrays[array] for array in own})
        weight_map |= dict.fromkeys(own, name)
    files["model.safetensors.index.json"] = _text({"metadata": {}, "weight_map": weight_map})
    return files


def _arrays(spec: ModelSpec, quant: str | None) -> Iterator[tuple[str, Array]]:
    """Every array a checkpoint stores, by its name in the file."""
    scheme = resolve_quant(quant, spec) if quant else stored_scheme(spec)
    for tensor in spec.tensors:
        if tensor.tied_to:
            continue
        for part, fmt in scheme.parts(tensor):
            for array in arrays_of(part, scheme.format_of(part, fmt)):
                for module in _modules(part):
                    yield module + array.suffix, array


def _modules(part: Tensor) -> Iterator[str]:
    for layer in part.layers if part.layers is not None else (None,):
        module = module_of(part).replace("{layer}", str(layer))
        for expert in range(part.experts) if "{expert}" in module else (None,):
            yield module.replace("{expert}", str(expert))


def _text(value: object) -> File:
    data = json.dumps(value).encode()
    return File(data, len(data))


def _weights(arrays: dict[str, Array]) -> File:
    header: dict[str, Any] = {}
    at = 0
    for name, array in arrays.items():
        end = at + array.nbytes
        header[name] = {"dtype": _DTYPES[array.dtype], "shape": array.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    return File(struct.pack("<Q", len(text)) + text, 8 + len(text) + at)


class Handler(BaseHTTPRequestHandler):
    """`/api/models/…/tree` and ranged `/…/resolve/…`."""

    protocol_version = "HTTP/1.1"
    repositories: ClassVar[dict[str, dict[str, File]]] = {}

    def log_message(self, *args: object) -> None:
        """Nothing: the answers are what is measured."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            repository, _, _ = path.removeprefix("api/models/").partition("/tree/")
            files = self.repositories.get(repository, {})
            return self.send(_text([{"type": "file", "path": n, "size": f.size} for n, f in files.items()]), body=body)
        repository, _, rest = path.partition("/resolve/")
        file = self.repositories.get(repository, {}).get(rest.partition("/")[2])
        if file is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.send(file, body=body)

    def send(self, file: File, *, body: bool) -> None:
        asked = self.headers.get("Range")
        first, last = 0, file.size - 1
        if asked:
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(last, int(end or last))
        data = file.head[first : last + 1] if body else b""
        data += bytes(last + 1 - first - len(data)) if body else b""  # a few bytes of the data after a short header
        self.send_response(206 if asked else 200)
        for name, value in (("ETag", f'"{file.tag}"'), ("X-Repo-Commit", COMMIT), ("Accept-Ranges", "bytes")):
            self.send_header(name, value)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{file.size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    for name, given in REPOSITORIES.items():
        Handler.repositories[name] = repository(*given)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
