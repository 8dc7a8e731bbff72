# One image for the API and the worker; docker-compose.yml says which of them a container is.

FROM python:3.14-slim-trixie AS build
WORKDIR /app
COPY requirements.txt ./
RUN python -m venv /app/.venv \
    && /app/.venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements.txt \
    && /app/.venv/bin/pip uninstall --yes pip

FROM python:3.14-slim-trixie
RUN groupadd --system --gid 10001 millgate \
    && useradd --system --uid 10001 --gid millgate --no-create-home --shell /usr/sbin/nologin millgate
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY db/migrations ./db/migrations
COPY service ./service
COPY workers ./workers
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GLIBC_TUNABLES=glibc.malloc.tcache_count=0
USER 10001:10001
EXPOSE 3000
# For the API; docker-compose.yml has the worker's.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["python", "-m", "service.health_check"]
CMD ["gunicorn", "--config", "service/gunicorn_conf.py", "service.app:create_app()"]
