"""Methods copied from a user's class into the generated one, so that nothing is imported.

Must import nothing of `runner` but `errors`, `graph.class_source`, `graph.ir`.
"""
