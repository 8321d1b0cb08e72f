"""Images to numbers: features, references, metrics."""
