"""The API's description (OpenAPI 3.1), made from the routes and models that serve, and the page that shows it.

What a handler's description can't be read from is said beside it: ``@documented(...)`` in ``operation.py``.
"""
