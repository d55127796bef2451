"""Measurements that run at another coordinator: followed and cancelled by the broker (ADR 19)."""
