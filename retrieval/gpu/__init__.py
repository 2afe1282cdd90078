"""Exact retrieval on a GPU: the whole catalogue resident, a request a kilobyte.

Answers what `retrieval.planner` answers by its scan, to the same float32 value and in the same
order. Needs numpy and torch; the Triton language only where a GPU runs its kernels.
"""
