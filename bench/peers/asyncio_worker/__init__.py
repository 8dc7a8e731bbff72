"""The same manager as it is usually written with asyncio and `websockets`, without Millgate's code."""
