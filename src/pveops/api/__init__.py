"""The API layer: HTTP, authentication, PVE's envelope, errors, tasks. Nothing about guests."""
