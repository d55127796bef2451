"""The ways between the coordinator and its agents."""
