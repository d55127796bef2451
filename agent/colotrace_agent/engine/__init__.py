"""Decisions without input or output: what to send next, what an answer means, when to end.

Nothing here reads a clock, waits or logs. Times come in as `now`, packets as decoded fields.
"""
