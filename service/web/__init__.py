"""The operators' page: HTML for people, over the same repositories and decisions as the API."""
