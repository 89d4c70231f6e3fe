"""The application's start and end, as the lifespan part of the ASGI specification has them."""
