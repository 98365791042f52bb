"""The front end as a whole, by the contract of `graph.frontend.reading`.

Must not import `graph.frontend.live_modules`, `graph.frontend.initial_values`.
"""
