"""Photos and their labels: folders, archives and shards, read as one data set."""
