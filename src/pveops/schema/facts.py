"""Look-ups: from a version and a path to the facts of its methods, in a few milliseconds."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from pveops.errors import ConfigError

_DATA = Path(__file__).parent / "data"
_GREEDY = frozenset({"volume", "cidr"})
"""Last segments that swallow the rest of the path, slashes included (PVE::RESTHandler)."""
_VERSION = re.compile(r"(\d+)\.(\d+)")
_NEWEST = (1_000_000, 0)

Schema = dict[str, Any]


class Method(NamedTuple):
    """What is known of one method."""

    method: str
    template: str
    name: str
    """As PVE's sources call it."""
    parameters: dict[str, Schema]
    """By name; `net[n]` stands for net0, net1, ..."""
    has_more_parameters: bool
    """Parameters that are not listed are let through."""
    permissions: dict[str, Any] | None
    """`{"check": [...]}`, `{"user": "all" | "world"}`; None: root@pam only."""
    is_protected: bool
    """Runs in pvedaemon, as root."""
    proxyto: str
    """The parameter that names the node which executes it; empty: the node that was asked."""
    allows_token: bool
    returns: Schema
    task: str
    """`upid`: the answer is a task's id. `upid-in-object`: it holds one. Empty: no task."""

    @property
    def is_for_root_only(self) -> bool:
        """No privilege suffices."""
        return self.permissions is None


class Match(NamedTuple):
    """A concrete path, taken apart."""

    template: str
    path_params: dict[str, str]
    """Percent-decoded."""
    method: Method


def versions() -> tuple[str, ...]:
    """The releases whose facts ship with the package, oldest first."""
    return tuple(sorted((path.stem for path in _DATA.glob("*.json")), key=version_key))


def nearest_version(release: str) -> str:
    """The known release that fits best: `9.2.11` is 9.2; a newer one than known is the newest."""
    match = _VERSION.match(release)
    known = versions()
    if match is None:
        return known[-1]
    wanted = version_key(release)
    not_newer = [version for version in known if version_key(version) <= wanted]
    return not_newer[-1] if not_newer else known[0]


def version_key(release: str) -> tuple[int, int]:
    """What releases are compared by: `7.4-17` is (7, 4). What is no release is newer than all."""
    match = _VERSION.match(release)
    return (int(match[1]), int(match[2])) if match else _NEWEST


class Facts:
    """The methods of one release."""

    def __init__(self, version: str, index: dict[str, dict[str, Any]]) -> None:
        self.version = version
        self._index = index
        self._tree: dict[str, Any] | None = None
        self._methods: dict[tuple[str, str], Method] = {}

    @classmethod
    def open(cls, version: str) -> Facts:
        """The facts of a known release, or of the one nearest to it."""
        path = _DATA / f"{version}.json"
        if not path.is_file():
            version = nearest_version(version)
            path = _DATA / f"{version}.json"
        return cls(version, json.loads(path.read_bytes()))

    @classmethod
    def load(cls, path: Path) -> Facts:
        """Facts that were saved, such as those of the user's own cluster."""
        try:
            data = json.loads(zlib.decompress(path.read_bytes()))
            return cls(str(data["version"]), dict(data["index"]))
        except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise ConfigError(
                f"the stored schema {path} cannot be read: {error}",
                hint="take it anew with `pve schema refresh`",
            ) from error

    def save(self) -> bytes:
        """What `load` reads."""
        index = {
            template: {method: self._raw(template, method) for method in methods}
            for template, methods in self._index.items()
        }
        data = {"version": self.version, "index": index}
        return zlib.compress(json.dumps(data, sort_keys=True).encode(), 9)

    def templates(self) -> tuple[str, ...]:
        """Every path template that has a method."""
        return tuple(template for template, methods in self._index.items() if methods)

    def methods_at(self, template: str) -> tuple[str, ...]:
        """The HTTP methods of a template."""
        return tuple(self._index.get(template, {}))

    def method(self, method: str, template: str) -> Method | None:
        """The facts of a method of a template."""
        if method not in self._index.get(template, {}):
            return None
        key = (method, template)
        if key not in self._methods:
            self._methods[key] = _method(method, template, self._raw(template, method))
        return self._methods[key]

    def resolve(self, method: str, path: str) -> Match | None:
        """The method that answers a concrete path, or None: PVE says 501."""
        found = self.find_template(path)
        facts = self.method(method, found[0]) if found else None
        return Match(found[0], found[1], facts) if found and facts else None

    def find_template(self, path: str) -> tuple[str, dict[str, str]] | None:
        """A concrete path's template and parameters.

        As PVE does, the path is percent-decoded before it is split, empty segments are ignored,
        and white space fits no parameter.
        """
        segments = [segment for segment in unquote(path).split("/") if segment]
        node = self._root()
        template: list[str] = []
        params: dict[str, str] = {}
        for position, segment in enumerate(segments):
            if segment in node:
                template.append(segment)
                node = node[segment]
                continue
            variable = next((key for key in node if key.startswith("{")), None)
            if variable is None or any(character.isspace() for character in segment):
                return None
            name = variable[1:-1]
            template.append(variable)
            node = node[variable]
            if name in _GREEDY and not node:
                params[name] = "/".join(segments[position:])
                break
            params[name] = segment
        joined = "/" + "/".join(template)
        return (joined, params) if joined in self._index else None

    def children(self, path: str) -> tuple[str, ...]:
        """What is below a concrete path or a template, as path segments."""
        node = self._root()
        for segment in (part for part in unquote(path).split("/") if part):
            following = node.get(segment)
            if following is None:
                following = next((node[key] for key in node if key.startswith("{")), None)
            if following is None:
                return ()
            node = following
        return tuple(sorted(node))

    def suggest_paths(self, path: str, count: int = 3) -> tuple[str, ...]:
        """Templates that look like `path`, for "did you mean"."""
        import difflib

        return tuple(difflib.get_close_matches(path, self.templates(), n=count, cutoff=0.6))

    def _root(self) -> dict[str, Any]:
        if self._tree is None:
            tree: dict[str, Any] = {}
            for template in self._index:
                node = tree
                for segment in template.split("/")[1:]:
                    node = node.setdefault(segment, {}) if segment else node
            self._tree = tree
        return self._tree

    def _raw(self, template: str, method: str) -> dict[str, Any]:
        place = self._index[template][method]
        if isinstance(place, dict):
            return place
        offset, length = place
        with (_DATA / "methods.bin").open("rb") as file:
            file.seek(offset)
            facts: dict[str, Any] = json.loads(zlib.decompress(file.read(length)))
        return facts


def _method(method: str, template: str, facts: dict[str, Any]) -> Method:
    return Method(
        method=method,
        template=template,
        name=facts["name"],
        parameters=facts["parameters"],
        has_more_parameters=facts["additional"],
        permissions=facts["permissions"],
        is_protected=bool(facts.get("protected")),
        proxyto=facts.get("proxyto", ""),
        allows_token=bool(facts.get("allowtoken", 1)),
        returns=facts["returns"],
        task=facts.get("task", ""),
    )
