"""One module per work: what it needs, which of its tasks are missing, and the files that it owns."""
