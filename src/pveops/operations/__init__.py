"""PVE's verbs as pure decisions: facts in, findings and a plan out. Nothing here does I/O.

`catalog` lists every operation; `plan` and `findings` are the values that decisions are made
of; one module a noun makes the decisions.
"""
