"""Procedures over many guests and nodes, put together from operations."""
