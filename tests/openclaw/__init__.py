"""pveops in a real OpenClaw: `make openclaw` installs it and runs these."""
