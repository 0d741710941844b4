"""The page where people work: a small service between the browser and the six, with no data and no rights of
its own."""
