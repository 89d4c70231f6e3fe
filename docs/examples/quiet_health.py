"""No access lines for the health check, by a filter on uvicorn's record arguments."""

import copy
import logging

import ferricorn
from ferricorn.logging import LOGGING_CONFIG


class NoHealth(logging.Filter):
    def filter(self, record):
        client, method, path, http_version, status = record.args
        return path != "/health"


config = copy.deepcopy(LOGGING_CONFIG)
config["filters"] = {"no_health": {"()": NoHealth}}
config["handlers"]["access"]["filters"] = ["no_health"]

if __name__ == "__main__":
    ferricorn.run("hello:app", port=8000, log_config=config)
