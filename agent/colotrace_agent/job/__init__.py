"""One job after another: whether it is taken, how its traces run, and what it reports."""
