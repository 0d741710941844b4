"""The command line of larder: the embedded stack, and the tools that look at it, load it and check it."""
