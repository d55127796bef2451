"""Checks of `colotrace-agent check`, one module for each subject."""
