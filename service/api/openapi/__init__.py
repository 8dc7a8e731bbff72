"""The OpenAPI document: what each route declares, and what is made of it."""
