"""Several traces as one: which flows are asked for, and which links are drawn of them."""
