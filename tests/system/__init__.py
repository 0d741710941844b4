"""The whole stack from outside: over HTTP, on its topics, and with the command line."""
