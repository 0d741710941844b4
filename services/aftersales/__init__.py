"""Aftersales: the window in which a delivered order may still be complained about, and tickets."""
