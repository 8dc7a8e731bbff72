"""Millgate's application under granian, which loads it anew in each process, behind the fork.

What gunicorn's hooks do for it (service/gunicorn_conf.py) is done here as far as a measurement needs it:
logs, the pool, the watch of events, the herald. Not done: the checks before the start, draining what waits,
answering what is no HTTP in our words, and one /metrics for all processes.
"""

from service.api.services import services_of
from service.app import create_app
from service.logs import configure_logging

configure_logging("info")
app = create_app()
services_of(app).database.open()
services_of(app).event_watch.start()
services_of(app).herald.start()
