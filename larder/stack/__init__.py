"""The embedded stack: PostgreSQL, a broker and the six services as supervised processes of one home folder."""
