"""Agents met at an MQTT 5 broker, whose answers come by gRPC; `link` is what others use."""
