"""Watching a cluster: what was found becomes alerts, which are told when they change."""
