"""One file a family of samplers."""
