"""How gunicorn serves this application; read by itself from the working directory."""

from personalization.draining import on_starting, post_worker_init
from personalization.settings import settings_from

__all__ = ["on_starting", "post_worker_init"]

_settings = settings_from()

bind = f"0.0.0.0:{_settings.port}"
# gthread, with refusals of its own as problem documents.
worker_class = "personalization.rest.transport.ProblemWorker"
# More threads than the admission limit, so that excess is answered with 503 instead of waiting unseen.
threads = 64
if _settings.sqlite:
    # One process owns a SQLite file; on PostgreSQL WEB_CONCURRENCY says how many serve.
    workers = 1
timeout = 60
graceful_timeout = 30
keepalive = 75
control_socket_disable = True
forwarder_headers = ""
