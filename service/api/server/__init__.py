"""gunicorn's gevent worker, with a deadline and a bound for every client."""
