"""Paths of the API."""

from __future__ import annotations

from pveops.operations.operation import Operation
from pveops.operations.rows.common import reading

ROWS: tuple[Operation, ...] = (
    reading("api.get", "read any path of the API", "pve api get /nodes/pve1/status"),
    reading("api.ls", "what is below a path of the API", "pve api ls /nodes"),
    reading("api.usage", "methods and parameters of a path", "pve api usage /nodes/{node}/qemu"),
)
