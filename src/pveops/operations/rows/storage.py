"""Storages."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, SEE_STORAGES, reading

ROWS: tuple[Operation, ...] = (
    reading("storage.list", "storages with use", "pve storage list", privileges=SEE_STORAGES),
    reading(
        "storage.show",
        "one storage on every node",
        "pve storage show local-lvm",
        targets=Targets.ONE,
        privileges=SEE_STORAGES,
    ),
    reading(
        "storage.content",
        "what lies on a storage",
        "pve storage content local --content iso",
        targets=Targets.ONE,
        privileges=SEE_STORAGES,
    ),
    Operation(
        "storage.download",
        "let a node fetch an image, an ISO or a container template",
        Tier.REVERSIBLE,
        Effect.ONCE,
        Targets.OTHER,
        (
            Privilege("/storage/{storage}", "Datastore.AllocateTemplate"),
            Privilege("/nodes/{node}", "Sys.AccessNetwork", instead=("Sys.Modify",)),
        ),
        (
            Param("url", "str", "where it is", is_required=True),
            Param("content", "str", "what it is: iso, vztmpl or import", is_required=True),
            Param("filename", "str", "what it is to be called; without, as in the URL"),
            Param("checksum", "str", "its checksum; without, a person has to agree"),
            Param("checksum_algorithm", "str", "md5, sha1, sha224, sha256, sha384 or sha512"),
            Param("node", "str", "the node, where each has a storage of that name"),
        ),
        example="pve storage download local --node pve1 --content iso --url "
        "https://example.org/x.iso --checksum SUM --checksum-algorithm sha256",
        decides="pveops.operations.download:decide_download",
        reads="pveops.domain.download_facts:read_download_facts",
        metavar="STORAGE",
        leaves_all=True,
    ),
    Operation(
        "storage.upload",
        "send a local file to a storage: an ISO, a container template, an image",
        Tier.REVERSIBLE,
        Effect.ONCE,
        Targets.OTHER,
        (Privilege("/storage/{storage}", "Datastore.AllocateTemplate"), *SEE_STORAGES),
        (
            Param("storage", "str", "the storage", is_argument=True),
            Param("content", "str", "iso, vztmpl or import; without, by its name"),
            Param("name", "str", "what it is to be called there"),
            Param("checksum", "str", "the sha256 that it has to have"),
            Param("replace", "bool", "take the place of a file of that name", False),
            Param("node", "str", "the node, where each has a storage of that name"),
        ),
        example="pve storage upload ./debian.iso local --node pve1",
        decides="pveops.operations.upload:decide_upload",
        reads="pveops.domain.upload_facts:read_upload_facts",
        metavar="FILE",
    ),
    Operation(
        "storage.delete",
        "delete a volume that no guest uses, for good",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.OTHER,
        (Privilege("/storage/{storage}", "Datastore.Allocate"), *SEE_STORAGES, *SEE_GUESTS),
        (Param("node", "str", "the node, where each has a storage of that name"),),
        example="pve storage delete local:iso/old.iso --node pve1",
        decides="pveops.operations.volume:decide_delete",
        reads="pveops.engine.volume_use:read_deletion_facts",
        metavar="VOLID",
    ),
)
