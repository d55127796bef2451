"""What coordinators tell each other by the broker: what they use of common limits (ADR 17), and
what happens in measurements that they run (ADR 19)."""
