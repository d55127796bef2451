"""Decisions without input or output: what to send next, what an answer means, when to end.

Nothing here reads a clock, waits or logs: time comes in as `now`, packets as what they say.
"""
