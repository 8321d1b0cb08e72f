"""Images that are already there: where they lie, how they are read, and their pixels."""
