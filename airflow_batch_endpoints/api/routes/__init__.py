"""The routes: each says what right it needs, calls a service and shapes the answer."""
