#!/usr/bin/env python3
"""Condense the API schema of each PVE release into the facts that ship with the package.

usage: condense.py SOURCE [--into src/pveops/schema/data]

SOURCE holds `apidoc-X.Y.json.xz` files (the `apiSchema` tree of the API viewer) and
`async-methods-9.2.json`. Names, types, ranges, defaults, formats, privileges and flags are kept;
no description is. Methods that are alike in several releases are stored once.

Writes `methods.bin` (each method's facts as deflated JSON, one after the other), `X.Y.json` (path
-> method -> [offset, length]), and `manifest.json` beside this script: what was read, by hash, and
what it held; the root, which the API viewer leaves out, is not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import pathlib
import sys
import zlib
from typing import Any

from pveops.schema.apidoc import ROOT, condense_method, walk

SCRIPT_VERSION = 2
ASYNC_METHODS = "async-methods-9.2.json"


class Tasks:
    """Which methods start tasks. The schema does not tell; the list is of 9.2."""

    def __init__(self, content: bytes) -> None:
        self._rows = {(row["method"], row["path"]): row for row in json.loads(content)["upid"]}

    def kind(self, method: str, path: str, info: dict[str, Any]) -> str | None:
        """`upid`: the answer is one; `upid-in-object`: it holds one; None: no task.

        A release that declares another type of answer than 9.2 is another matter: the disk of a
        VM was resized at once in 7.4 (null), and by a task since 8.0.
        """
        row = self._rows.get((method, path))
        if row is None or (info.get("returns") or {}).get("type") != row["schema_type"]:
            return None
        return str(row["kind"])


def condense(source: pathlib.Path, into: pathlib.Path) -> dict[str, Any]:
    """Write the data files; gives the manifest."""
    listed = (source / ASYNC_METHODS).read_bytes()
    tasks = Tasks(listed)
    places: dict[bytes, tuple[int, int]] = {}
    blob = bytearray()
    manifest: dict[str, Any] = {
        "script": SCRIPT_VERSION,
        ASYNC_METHODS: {"sha256": hashlib.sha256(listed).hexdigest()},
        "versions": {},
    }
    for path in sorted(source.glob("apidoc-*.json.xz")):
        version = path.name.removeprefix("apidoc-").removesuffix(".json.xz")
        content = path.read_bytes()
        index: dict[str, dict[str, tuple[int, int]]] = {}
        parameters = 0
        for node in (ROOT, *walk(json.loads(lzma.decompress(content)))):
            methods: dict[str, tuple[int, int]] = {}
            for method, info in sorted((node.get("info") or {}).items()):
                facts = condense_method(info, tasks.kind(method, node["path"], info))
                parameters += len(facts["parameters"])
                encoded = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
                if encoded not in places:
                    packed = zlib.compress(encoded, 9)
                    places[encoded] = (len(blob), len(packed))
                    blob += packed
                methods[method] = places[encoded]
            index[node["path"]] = methods
        (into / f"{version}.json").write_text(
            json.dumps(index, sort_keys=True, separators=(",", ":")).replace('},"/', '},\n"/')
            + "\n",
            encoding="utf-8",
        )
        manifest["versions"][version] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "paths": sum(1 for methods in index.values() if methods) - 1,
            "methods": sum(len(methods) for methods in index.values()) - 1,
            "parameters": parameters,
        }
    (into / "methods.bin").write_bytes(bytes(blob))
    return manifest


def main() -> int:
    """Condense what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=pathlib.Path)
    root = pathlib.Path(__file__).resolve().parent
    parser.add_argument(
        "--into", type=pathlib.Path, default=root.parent / "src" / "pveops" / "schema" / "data"
    )
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    manifest = condense(arguments.source, arguments.into)
    (root / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
