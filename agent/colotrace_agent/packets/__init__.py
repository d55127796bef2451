"""Probes as bytes, and answers from bytes: one file a protocol, each of which opens by saying
which header field carries a probe's number and why routers keep it.

scapy built one template for each packet type and family (`scripts/templates.py`); a flow's fields
are written into a copy of it once, a probe's own into a copy of that. Answers are read by offset.
"""
