"""The shipped facts are what the script makes of the releases' own descriptions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import lzma
import re

import pytest

from pveops.schema import Facts, versions
from pveops.schema.formats import FORMATS
from tests.unit.schema.shared import ROOT, find_or_skip

DATA = ROOT / "src" / "pveops" / "schema" / "data"
MANIFEST = json.loads((ROOT / "schema" / "manifest.json").read_text(encoding="utf-8"))
PROSE = {"description", "verbose_description", "format_description", "typetext", "title"}


def condense(source, into):
    """Run the script's own function; it writes the files and gives the manifest."""
    spec = importlib.util.spec_from_file_location("condense", ROOT / "schema" / "condense.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.condense(source, into)


def stored(folder):
    """Every method's facts by version, template and name, out of one folder's files."""
    import zlib

    blob = (folder / "methods.bin").read_bytes()
    return {
        path.stem: {
            (template, name): json.loads(zlib.decompress(blob[offset : offset + length]))
            for template, methods in json.loads(path.read_bytes()).items()
            for name, (offset, length) in methods.items()
        }
        for path in sorted(folder.glob("*.json"))
    }


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def schemas(schema):
    """A parameter's schema and the ones inside it."""
    yield schema
    form = schema.get("format")
    inner = list(form.values()) if isinstance(form, dict) else []
    inner += [schema["items"]] if isinstance(schema.get("items"), dict) else []
    for each in [*inner, *schema.get("oneOf", [])]:
        yield from schemas(each)


def test_the_shipped_facts_are_those_of_the_releases(tmp_path):
    """By content: another build of zlib may pack the same facts into other bytes."""
    source = find_or_skip("data", "schema")
    assert condense(source, tmp_path) == MANIFEST
    assert stored(tmp_path) == stored(DATA)


def test_condensing_twice_gives_the_same_bytes(tmp_path):
    source = find_or_skip("data", "schema")
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        condense(source, folder)
    assert digests(first) == digests(second)


def test_the_counts_are_those_of_the_releases(tmp_path):
    """Counted anew from the descriptions, by another walk than the script's."""
    for version in versions():
        path = find_or_skip("data", "schema", f"apidoc-{version}.json.xz")
        nodes = json.loads(lzma.decompress(path.read_bytes()))
        infos = []
        while nodes:
            node = nodes.pop()
            nodes += node.get("children") or []
            infos += [node["info"]] if node.get("info") else []
        methods = [method for info in infos for method in info.values()]
        parameters = [(m.get("parameters") or {}).get("properties") or {} for m in methods]
        counted = MANIFEST["versions"][version]
        assert counted["paths"] == len(infos)
        assert counted["methods"] == len(methods)
        assert counted["parameters"] == sum(map(len, parameters))


def test_the_manifest_names_what_is_shipped():
    assert tuple(MANIFEST["versions"]) == versions()
    for version, counted in MANIFEST["versions"].items():
        facts = Facts.open(version)
        methods = sum(len(facts.methods_at(template)) for template in facts.templates())
        # The root is not in the API viewer's tree, and is added.
        assert methods == counted["methods"] + 1
        assert len(facts.templates()) == counted["paths"] + 1


def test_no_prose_is_shipped():
    """Descriptions are under a licence of their own."""
    found = set()

    def walk(value, is_named):
        if isinstance(value, dict):
            for key, inner in value.items():
                # Below `parameters` and the like, a key is a parameter's name.
                if not is_named and key in PROSE:
                    found.add(key)
                if key != "pattern":
                    walk(inner, not is_named and key in {"parameters", "properties", "format"})
        elif isinstance(value, list):
            for inner in value:
                walk(inner, False)
        elif isinstance(value, str) and len(re.findall(r"(?<![,;])\s", value)) > 1:
            found.add(value)

    for methods in stored(DATA).values():
        for facts in methods.values():
            walk(facts, False)
    assert found == set()


def test_the_shipped_facts_are_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 1_500_000


@pytest.mark.parametrize("version", versions())
def test_every_pattern_is_one_that_python_reads(version):
    facts = Facts.open(version)
    patterns = {
        schema["pattern"]
        for template in facts.templates()
        for name in facts.methods_at(template)
        for parameter in facts.method(name, template).parameters.values()
        for schema in schemas(parameter)
        if "pattern" in schema
    }
    assert len(patterns) > 20
    for pattern in patterns:
        re.compile(f"^{pattern}$")


def test_the_formats_that_are_checked_exist_in_some_release():
    """A misspelt name would check nothing."""
    used = set()
    for version in versions():
        facts = Facts.open(version)
        for template in facts.templates():
            for name in facts.methods_at(template):
                for parameter in facts.method(name, template).parameters.values():
                    used |= {str(schema.get("format")) for schema in schemas(parameter)}
    plain = {re.sub("-(list|opt|alist)$", "", name) for name in used}
    assert FORMATS.keys() <= plain
