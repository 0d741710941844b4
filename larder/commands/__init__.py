"""The commands of `larder`, a module for each group; every module has `add_to(app)`."""
