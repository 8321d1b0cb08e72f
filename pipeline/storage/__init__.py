"""Outputs on disk or at any fsspec URL, written whole or not at all; and local copies of remote files."""
