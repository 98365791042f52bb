"""What a person sees of a run: progress, tables, counts. Decides nothing."""
