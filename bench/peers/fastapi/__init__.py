"""The gateways of Millgate's API on FastAPI: once over SQLAlchemy, once over asyncpg itself."""
