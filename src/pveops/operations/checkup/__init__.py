"""What `pve doctor` looks at: pure checks over facts that somebody else gathered."""
