"""How a handler says no: PVE's answers that are not 200, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """An answer with an HTTP status of 400 or more.

    message: PVE's text; its first line is the reason phrase.
    errors: by parameter name, for a 400.
    has_body: False for what PVE answers before a handler runs (bare 401, 595, 501 HEAD).
    """

    def __init__(
        self,
        status: int,
        message: str,
        errors: Mapping[str, str] | None = None,
        *,
        has_body: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = dict(errors) if errors else None
        self.has_body = has_body


class DroppedError(Exception):
    """The daemon closes the connection without an answer."""


def die(message: str) -> ApiError:
    """A plain Perl `die` in a handler: 500 with the text."""
    return ApiError(500, message)


def parameter_error(errors: Mapping[str, str]) -> ApiError:
    """raise_param_exc: 400 with the texts by parameter."""
    return ApiError(400, "Parameter verification failed.", errors)


def permission_error(path: str, privileges: str) -> ApiError:
    """403 as PVE::RPCEnvironment words it."""
    return ApiError(403, f"Permission check failed ({path}, {privileges})")
