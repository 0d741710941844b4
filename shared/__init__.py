"""What the six services share: contracts, the runtime, HTTP, settings. It imports no service."""
