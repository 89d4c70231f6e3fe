"""What uvicorn keeps under this name and others import. The protocols themselves are native."""
