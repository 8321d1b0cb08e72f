"""From images to numbers: features, references and metrics."""
