"""The host that the agent runs on: rights, accounts, secret, names, and what `check` finds."""
