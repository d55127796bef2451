"""Mutants of true replies against the engine, judged by scapy."""
