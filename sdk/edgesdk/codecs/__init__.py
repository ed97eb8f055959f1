"""The compressors that come with edgesdk, and what both ends of a stream agree on."""
