"""Limits that hold over several coordinators: each reports what it uses to the others (ADR 17)."""
