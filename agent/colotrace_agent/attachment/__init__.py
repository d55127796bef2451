"""Checks of `colotrace-agent check` on the way to the coordinator, one module for each subject.

Each has functions that judge facts, and one that gathers them. The agent that runs on the host is
not disturbed: nothing attaches, and nothing is renewed or written.
"""
