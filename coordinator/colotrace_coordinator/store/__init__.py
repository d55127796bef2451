"""What outlives the process: accounts, tokens, keys, colos once seen, and who asked for what."""
