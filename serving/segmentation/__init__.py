"""Groups of customers: RFM, lifecycle, clusters, transitions, products bought together."""
