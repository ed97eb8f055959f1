"""The command line, a file a command: from flags to one verb, from its values to text."""
