"""The grid of `choose`: its cells, what they are worth, and where they are worked on."""
