"""The coordinator: takes requests over HTTP, fans them out to agents, answers."""
