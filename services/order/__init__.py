"""Order: prices a basket and carries the order through its life. It is the saga."""
