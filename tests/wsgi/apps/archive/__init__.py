"""A Django project: a model, its admin, and views, on the database that the environment names."""
