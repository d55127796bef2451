"""A running measurement: its events, the state they add up to, and the stream they come by."""
