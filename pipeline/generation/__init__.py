"""Settings to images: the plan of shards, and the worker that draws one."""
