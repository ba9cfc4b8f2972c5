"""The simulated cluster: PVE's API over a small model of nodes, guests and tasks.

It imports nothing of the product but ids, errors, clock, units and the schema facts, so that
a mistake of the product cannot hide in its own test bed.

Where things are: `timeline` (virtual time), `model` (what exists), `tasks` (workers), `router`
(which function answers which method), `pipeline` (the order of checks that a request goes
through), `handlers/` (PVE's methods, one module a noun), `http/` (sockets and wire),
`inprocess` (the same without sockets), `faults` and `control` (how a test breaks things),
`seeds/` (start states).
"""
