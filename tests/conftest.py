"""Fixtures that several kinds of tests share."""

from lab.fixtures import lab, limited_lab

__all__ = ["lab", "limited_lab"]
