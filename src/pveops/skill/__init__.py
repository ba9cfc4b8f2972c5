"""The skill folder for agents: its rules, and its way into an agent's workspace."""
