"""Enrolment at a coordinator: joining with a token, what is kept of it, and renewals."""
