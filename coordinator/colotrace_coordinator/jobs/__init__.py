"""Jobs: one target traced from one colo. Which agent runs it, until when, and what came of it."""
