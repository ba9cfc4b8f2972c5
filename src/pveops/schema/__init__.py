"""The API's schema, as facts: which methods and parameters a release of PVE has.

Condensed from each release's own description by `schema/condense.py`; no prose. Used to check
parameters before they are sent, to explain paths, and by the simulated cluster to answer as that
release would.
"""

from pveops.schema.check import check_parameters, did_you_mean
from pveops.schema.facts import Facts, Match, Method, nearest_version, versions

__all__ = [
    "Facts",
    "Match",
    "Method",
    "check_parameters",
    "did_you_mean",
    "nearest_version",
    "versions",
]
