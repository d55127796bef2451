"""Encodes probes and decodes answers. Each packet type has a file with its record (`format`).

The file's docstring says which header field carries a probe's number, and why routers preserve it.
`scripts/templates.py` builds a template for each packet type and family by scapy. The fields of a
flow are written into a copy once, the fields of a probe into a copy of that. Answers are read by
offset.
"""
