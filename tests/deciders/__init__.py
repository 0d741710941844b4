"""The deciders: given a state and facts, when a message comes, then this is said."""
