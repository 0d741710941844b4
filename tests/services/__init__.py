"""One service alone: its real tables and routes, and the real step, without a broker."""
