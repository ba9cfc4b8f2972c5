#!/usr/bin/env python3
"""Condense the API schema of each PVE release into the facts that ship with the package.

usage: condense.py SOURCE [--into src/pveops/schema/data]

SOURCE holds `apidoc-X.Y.json.xz` files (the `apiSchema` tree of the API viewer) and
`async-methods-9.2.json`. Names, types, ranges, defaults, formats, privileges and flags are kept;
no description is. Methods that are alike in several releases are stored once.

Writes `methods.bin` (each method's facts as deflated JSON, one after the other), `X.Y.json` (path
-> method -> [offset, length]), and `manifest.json` beside this script.
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

SCRIPT_VERSION = 1


def read_tasks(path: pathlib.Path) -> dict[tuple[str, str], str]:
    """Which methods start tasks: `upid` (the answer is one) or `object` (it holds one)."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return {(row["method"], row["path"]): str(row["kind"]) for row in data["upid"]}


def condense(source: pathlib.Path, into: pathlib.Path) -> dict[str, Any]:
    """Write the data files; gives the manifest."""
    tasks = read_tasks(source / "async-methods-9.2.json")
    places: dict[bytes, tuple[int, int]] = {}
    blob = bytearray()
    manifest: dict[str, Any] = {"script": SCRIPT_VERSION, "versions": {}}
    for path in sorted(source.glob("apidoc-*.json.xz")):
        version = path.name.removeprefix("apidoc-").removesuffix(".json.xz")
        content = path.read_bytes()
        index: dict[str, dict[str, tuple[int, int]]] = {}
        parameters = 0
        for node in (ROOT, *walk(json.loads(lzma.decompress(content)))):
            methods: dict[str, tuple[int, int]] = {}
            for method, info in sorted((node.get("info") or {}).items()):
                facts = condense_method(info, tasks.get((method, node["path"])))
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
            "paths": sum(1 for methods in index.values() if methods),
            "methods": sum(len(methods) for methods in index.values()),
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
