"""Methods of a class, copied into the one that is generated for it, so that nothing is imported."""
