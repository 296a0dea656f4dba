"""The admins' commands: what they say, what they change, how they fail; and no key on anybody's screen."""
