"""Files that are whole or not there, on disk or at any fsspec URL; copies on a node."""
