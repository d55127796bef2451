"""What is told of an address beside the measurement: its name and its ASN."""
