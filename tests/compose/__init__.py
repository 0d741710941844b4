"""Tries docker-compose.yml itself: the files that people run, with an order walked through."""
