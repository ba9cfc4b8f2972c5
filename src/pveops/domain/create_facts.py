"""What the decision about a new guest is made from: the nodes where it could be."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.guest_name import check_guest_name
from pveops.domain.guest_template import GuestTemplate, Variable
from pveops.domain.node import Node, read_bridges
from pveops.domain.rows import int_of, rows_of, text_of
from pveops.domain.storage import Storage
from pveops.domain.vmid import pick_free_vmids
from pveops.errors import NodeUnreachableError, PveopsError, UsageError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.facts import Scene
    from pveops.domain.inventory import Inventory


class StoredFile(NamedTuple):
    """An image, an ISO or a container template on a storage."""

    volid: str
    content: str
    ctime: int
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.volid.rpartition("/")[2]


class Appliance(NamedTuple):
    """A container template that PVE's index offers (`pveam`)."""

    file: str
    url: str
    sha512: str


class Place(NamedTuple):
    """One node, as far as a new guest is concerned."""

    node: Node
    storages: tuple[Storage, ...]
    bridges: tuple[str, ...] | None
    """With the vnets that it has; None: the token may not see them."""
    files: tuple[StoredFile, ...]
    unseen: tuple[str, ...]
    """Storages whose content cannot be read."""


class CreateFacts(NamedTuple):
    """One guest to be."""

    name: str
    template: GuestTemplate
    places: tuple[Place, ...]
    is_node_given: bool
    vmid: int
    """A free id, for now."""
    names: frozenset[str]
    """Names of all guests."""
    pools: tuple[str, ...]
    is_quorate: bool | None
    appliances: tuple[Appliance, ...]
    """What could be downloaded, read only when a container template is missing."""


def read_create_facts(client: Client, scene: Scene) -> tuple[CreateFacts, ...]:
    """A request a node for bridges, one a storage for what lies there, and one for the id."""
    if len(scene.names) != 1 or not scene.names[0]:
        raise UsageError("one name, please", hint="pve guest create NAME --template T")
    name = check_guest_name(scene.names[0])
    template = scene.template
    if template is None:
        raise UsageError("which template?", hint="pve template list")
    wanted = {variable.content for variable in template.of_type("volume").values()}
    reader = _ContentReader(client, frozenset(wanted))
    places = tuple(_read_place(client, reader, node, scene.inventory) for node in _nodes(scene))
    paths = [
        api_path("nodes", place.node.name, "storage", storage.storage, "content")
        for place in places
        for storage in place.storages
        if storage.status == "available" and {"images", "rootdir"} & set(storage.content)
    ]
    facts = CreateFacts(
        name=name,
        template=template,
        places=places,
        is_node_given=bool(scene.params.get("node")),
        vmid=pick_free_vmids(client, scene.inventory, 1, paths)[0],
        names=frozenset(guest.name for guest in scene.inventory.guests),
        pools=scene.inventory.pools,
        is_quorate=scene.is_quorate,
        appliances=(),
    )
    if _lacks_container_template(template, places):
        facts = facts._replace(appliances=_read_appliances(client, places[0].node))
    return (facts,)


def _lacks_container_template(template: GuestTemplate, places: tuple[Place, ...]) -> bool:
    """Whether no node has what the template is made from, so that a download is to be named."""
    files = [file for place in places for file in place.files]
    return any(
        variable.content == "vztmpl"
        and not any(is_wanted_file(file, variable, str(variable.default)) for file in files)
        for variable in template.of_type("volume").values()
    )


def is_wanted_file(file: StoredFile, variable: Variable, wanted: str) -> bool:
    """Whether a file fits: by its volid, or by one of the names and patterns."""
    if file.content != variable.content:
        return False
    return file.volid == wanted or any(fnmatchcase(file.name, each) for each in wanted.split())


def _nodes(scene: Scene) -> list[Node]:
    inventory, name = scene.inventory, scene.params.get("node")
    if not name:
        online = [node for node in inventory.nodes if node.is_online]
        if online:
            return online
        raise NodeUnreachableError("no node answers", hint="look at them with `pve status`")
    node = inventory.get_node(str(name))
    if not node.is_online:
        raise NodeUnreachableError(
            f"{name} does not answer", hint="look at the nodes with `pve status`"
        )
    return [node]


class _ContentReader:
    """Reads what lies on storages, a shared one only once."""

    def __init__(self, client: Client, contents: frozenset[str]) -> None:
        self._client = client
        self._contents = contents
        self._shared: dict[str, tuple[StoredFile, ...] | None] = {}

    def read(self, storage: Storage) -> tuple[StoredFile, ...] | None:
        """The files of the wanted kinds; None when nobody can tell."""
        wanted = self._contents & set(storage.content)
        if not wanted:
            return ()
        if storage.status != "available":
            return None
        if storage.is_shared and storage.storage in self._shared:
            return self._shared[storage.storage]
        files = self._ask(storage, wanted)
        if storage.is_shared:
            self._shared[storage.storage] = files
        return files

    def _ask(self, storage: Storage, wanted: frozenset[str]) -> tuple[StoredFile, ...] | None:
        path = api_path("nodes", storage.node, "storage", storage.storage, "content")
        files: list[StoredFile] = []
        for content in sorted(wanted):
            try:
                rows = rows_of(self._client.get(path, {"content": content}))
            except PveopsError:
                return None
            files += [
                StoredFile(
                    text_of(row, "volid"), content, int_of(row, "ctime"), int_of(row, "size")
                )
                for row in rows
            ]
        return tuple(files)


def _read_place(client: Client, reader: _ContentReader, node: Node, inventory: Inventory) -> Place:
    storages = tuple(each for each in inventory.storages if each.node == node.name)
    read = [(storage.storage, reader.read(storage)) for storage in storages]
    return Place(
        node=node,
        storages=storages,
        bridges=read_bridges(client, node.name),
        files=tuple(file for _, files in read for file in files or ()),
        unseen=tuple(name for name, files in read if files is None),
    )


def _read_appliances(client: Client, node: Node) -> tuple[Appliance, ...]:
    try:
        rows = rows_of(client.get(api_path("nodes", node.name, "aplinfo")))
    except PveopsError:
        return ()
    return tuple(
        Appliance(text_of(row, "template"), text_of(row, "location"), text_of(row, "sha512sum"))
        for row in rows
    )
