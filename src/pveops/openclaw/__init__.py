"""OpenClaw: what is asked of it, and what makes pveops at home in it."""
