"""Measurements: those that run here, and where the others are found."""
