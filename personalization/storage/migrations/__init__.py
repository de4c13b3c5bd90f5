"""The schema's history, one file a step; `Life.migrate` runs them."""
