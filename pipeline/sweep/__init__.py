"""What a user asks for, and its output: config, grid, shards, images, run, result."""
