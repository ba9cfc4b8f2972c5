"""The broker (level G3): an account of its own that holds the token which can change things.

It keeps plans, consents, policy and the audit log, and carries out what a person agreed to.
Agents' accounts have a token that only reads, and the broker's socket.
"""
