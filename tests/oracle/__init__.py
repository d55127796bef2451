"""Other people's traceroutes, run on the lab and read into one shape, to hold the agent against."""
