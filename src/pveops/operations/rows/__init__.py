"""The rows of the catalogue, by noun."""
