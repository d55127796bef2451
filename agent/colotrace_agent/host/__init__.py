"""The host that the agent runs on: privileges, accounts, secret, resolver, and `check`."""
