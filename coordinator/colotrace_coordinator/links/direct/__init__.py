"""Agents attached by a gRPC stream each, without a broker; `server` is what others use."""
