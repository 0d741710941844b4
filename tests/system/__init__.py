"""The whole stack from outside: over HTTP, on the topics, and with the command line; nothing is imported that decides."""
