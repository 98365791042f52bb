"""Literals: Python objects as constants of the IR, and the comparison that verifies them.

Must not import `graph.frontend.torchscript`, `graph.frontend.live_modules`, `nn.recording`.
"""
