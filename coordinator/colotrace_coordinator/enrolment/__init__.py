"""Enrolment of agents: who may join, renewals, and who is known or revoked."""
