"""ASGI applications that wrap another one."""
