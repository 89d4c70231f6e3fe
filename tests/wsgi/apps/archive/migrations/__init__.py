"""The history of the models."""
