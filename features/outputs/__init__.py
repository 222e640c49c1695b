"""The output folder of a business: where each file lies, and the manifests that say what it holds."""
