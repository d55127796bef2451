"""The checks of `colotrace-coordinator doctor`, one module for each subject.

Each has functions that judge facts, and one that gathers them. Nothing is written or listened on,
so that a running coordinator is not disturbed.
"""
