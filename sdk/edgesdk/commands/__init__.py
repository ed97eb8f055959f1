"""The command line, a file a command: its options, from them to one verb, and from its values to text."""
