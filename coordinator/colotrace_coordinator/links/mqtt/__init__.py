"""Agents found through an MQTT 5 broker; they answer over gRPC streams. `link` is the entry."""
