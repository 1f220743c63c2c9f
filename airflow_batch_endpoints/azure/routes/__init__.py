"""The routes: thin, over the same services as REST."""
