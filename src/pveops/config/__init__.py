"""What is configured on this machine: where files lie, profiles, policy, secrets."""
