"""MCP: the same command lines as `pve`, for agents that speak that protocol and have no shell.

A few tools take command lines. Each is carried out in a process of its own by what carries out
`pve`, so that the gate, the answers and the exit codes are the same. No tool consents.
"""
