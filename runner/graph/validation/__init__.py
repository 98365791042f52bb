"""Translation validation: runs generated source beside the model it was made of."""
