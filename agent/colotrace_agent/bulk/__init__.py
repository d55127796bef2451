"""Many traces at once: the engine's rules over arrays, for runs of thousands of targets."""
