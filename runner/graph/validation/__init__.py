"""Translation validation: generated source and the model it comes from, run side by side."""
