"""A project with users of its own, as an app of it and its settings: a UUID, an e-mail address, and nothing of Django's `User` beyond that."""
