"""Methods copied from a user's class into the generated one, so that nothing is imported."""
