"""The probe host's program: sends probes, hears replies, reports to a coordinator."""
