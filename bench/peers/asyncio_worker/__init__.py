"""The same manager as one would write it in asyncio with `websockets`. Nothing of Millgate is in it."""
