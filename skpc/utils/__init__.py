"""What every room may use: one file for scikit-learn's private names, and weighted quantiles.

Nothing here knows what a circuit is.
"""
