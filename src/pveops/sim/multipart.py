"""An upload on its way in: the parameters of the method, and the file in /var/tmp."""

from __future__ import annotations

from typing import Any

from pveops.sim.message import RawRequest
from pveops.sim.model import Node
from pveops.sim.refusal import ApiError
from pveops.sim.upload import UploadError, find_boundary, parse_upload, spool_upload


def read_upload(node: Node, request: RawRequest) -> dict[str, Any]:
    """The parameters of an upload; the file is kept in the node's temporary folder."""
    content_type = request.headers.get("content-type", "")
    boundary = find_boundary(content_type)
    if boundary is None:
        text = f"upload 'Content-Type '{content_type}' not implemented"
        raise ApiError(506, text, has_body=False)
    try:
        uploaded = request.uploaded or parse_upload(boundary, request.body)
        return dict(spool_upload(node, uploaded))
    except UploadError as error:
        raise ApiError(error.status, error.reason, has_body=False) from error
