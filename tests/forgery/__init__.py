"""Forged replies against the engine."""
