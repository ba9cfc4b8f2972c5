"""The API's schema, as facts: which methods and parameters a release of PVE has.

Condensed from each release's own description by `schema/condense.py`; no prose. Used to check
parameters before they are sent, to explain paths, and by the simulated cluster to answer as that
release would.
"""

from typing import TYPE_CHECKING, Any

from pveops.schema.check import check_parameters, did_you_mean
from pveops.schema.facts import Facts, Match, Method, nearest_version, versions

if TYPE_CHECKING:
    from pveops.schema.privileges import Kind, Requirement, required_privileges

__all__ = [
    "Facts",
    "Kind",
    "Match",
    "Method",
    "Requirement",
    "check_parameters",
    "did_you_mean",
    "nearest_version",
    "required_privileges",
    "versions",
]


def __getattr__(name: str) -> Any:
    """Privileges are wanted by few calls, so they are read when one asks for them."""
    if name in {"Kind", "Requirement", "required_privileges"}:
        from pveops.schema import privileges

        return getattr(privileges, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
