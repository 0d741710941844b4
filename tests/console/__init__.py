"""The console, over services that are played."""
