"""The messages of larder: one module per service, named for the service that listens (commands) or says (events)."""
