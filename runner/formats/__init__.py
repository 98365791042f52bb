"""Formats of models for other programs: the exporters of torch, and the check of what they wrote.

Must import nothing of `runner` but `errors`, `graph.interpreter`.
"""
