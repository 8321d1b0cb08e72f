"""One file a kind of work: what it needs, what of it is missing, and the files that it owns."""
