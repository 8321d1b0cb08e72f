"""What a user asks for and what its output contains: config, grid, shards, images, run, result."""
