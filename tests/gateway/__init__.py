"""The YooKassa client against servers that misbehave."""
