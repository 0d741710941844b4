"""What dies under load, and what must be true afterwards."""
