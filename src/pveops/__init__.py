"""Operate Proxmox VE clusters through an AI agent: plan, consent, apply once, verify."""

__version__ = "0.1.0"
