"""Payment: money taken and given back."""
