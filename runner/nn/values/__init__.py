"""Values of choices: the build that decides them, and expressions while they are undecided."""
